/* The standalone executable: a Python with all its modules linked in, which runs the zip archive at its own end. */
#include <Python.h>

#include <crypt.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <unistd.h>

static const char START[] =
    "import sys\n"
    "sys.frozen = True\n"
    "from hostcheck.__main__ import run\n"
    "sys.exit(run())\n";

/* Where OpenSSL looks is where Debian keeps the certificates; others keep them here. */
static const char *const BUNDLES[] = {
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
};

/* The path of this file; without /proc it is what the kernel was asked to execute. */
static const char *own_path(void)
{
    static char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length > 0) {
        path[length] = '\0';
        if (access(path, R_OK) == 0)
            return path;
    }
    const char *asked = (const char *)getauxval(AT_EXECFN);
    return asked && realpath(asked, path) ? path : "";
}

static void find_certificates(void)
{
    if (getenv("SSL_CERT_FILE") || access("/etc/ssl/certs/ca-certificates.crt", R_OK) == 0)
        return;
    for (size_t i = 0; i < sizeof BUNDLES / sizeof *BUNDLES; i++)
        if (access(BUNDLES[i], R_OK) == 0) {
            setenv("SSL_CERT_FILE", BUNDLES[i], 1);
            return;
        }
}

/* crypt(password, setting): musl's, for bcrypt.py. */
static PyObject *hash_password(PyObject *module, PyObject *arguments)
{
    const char *password, *setting, *hash;
    struct crypt_data *room;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "yy:crypt", &password, &setting))
        return NULL;
    room = PyMem_RawCalloc(1, sizeof *room);
    if (room == NULL)
        return PyErr_NoMemory();
    Py_BEGIN_ALLOW_THREADS
    hash = crypt_r(password, setting, room);
    Py_END_ALLOW_THREADS
    PyObject *result = PyBytes_FromString(hash ? hash : "*");
    PyMem_RawFree(room);
    return result;
}

static PyMethodDef functions[] = {
    {"crypt", hash_password, METH_VARARGS, "The hash of a password."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_musl_crypt", .m_size = 0, .m_methods = functions,
};

static PyObject *make_module(void)
{
    return PyModule_Create(&definition);
}

static PyStatus start(int argc, char **argv, const char *path)
{
    PyPreConfig before;
    PyPreConfig_InitIsolatedConfig(&before);
    before.utf8_mode = 1;
    PyStatus status = Py_PreInitialize(&before);
    if (PyStatus_Exception(status))
        return status;
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    config.site_import = 0;
    config.write_bytecode = 0;
    config.pathconfig_warnings = 0;
    config.install_signal_handlers = 1;
    config.parse_argv = 0;
    config.module_search_paths_set = 1;
    wchar_t *wide = Py_DecodeLocale(path, NULL);
    if (wide == NULL)
        return PyStatus_NoMemory();
    status = PyConfig_SetBytesArgv(&config, argc, argv);
    if (!PyStatus_Exception(status))
        status = PyConfig_SetString(&config, &config.executable, wide);
    if (!PyStatus_Exception(status))
        status = PyConfig_SetString(&config, &config.prefix, L"");
    if (!PyStatus_Exception(status))
        status = PyConfig_SetString(&config, &config.exec_prefix, L"");
    if (!PyStatus_Exception(status))
        status = PyWideStringList_Append(&config.module_search_paths, wide);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    PyMem_RawFree(wide);
    return status;
}

int main(int argc, char **argv)
{
    find_certificates();
    PyImport_AppendInittab("_musl_crypt", make_module);
    PyStatus status = start(argc, argv, own_path());
    if (PyStatus_Exception(status))
        Py_ExitStatusException(status);
    return PyRun_SimpleString(START) == 0 ? 0 : 1;
}
