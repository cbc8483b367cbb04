"""The families behind a gate, for hostcheck/cards.py. Written by scripts/docs.py, and not to be edited."""

# ruff: noqa: E501
# fmt: off
from __future__ import annotations

FAMILIES: dict[str, tuple[int, tuple[tuple[str, str, str, str, tuple[str, ...], tuple[str, ...]], ...]]] = {
    "containerd": (
        26447,
        (
            ('containerd', 'containerd.config', 'required', 'Containerd starts with its configuration file.', (), ('https://github.com/containerd/containerd/blob/main/docs/man/containerd-config.toml.5.md', 'https://github.com/containerd/containerd/blob/main/RELEASES.md', 'https://github.com/containerd/containerd/issues/11088')),
            ('containerd', 'containerd.cri', 'required', 'The CRI plugin is on where Kubernetes needs it.', (), ('https://kubernetes.io/docs/setup/production-environment/container-runtimes/#containerd', 'https://github.com/kubernetes/kubernetes/issues/111591', 'https://github.com/containerd/containerd/issues/8139', 'https://github.com/containerd/containerd/pull/12617')),
            ('containerd', 'containerd.cgroup_driver', 'required', 'Containerd and the kubelet leave control groups to the same manager.', (), ('https://github.com/containerd/containerd/blob/main/docs/cri/config.md', 'https://kubernetes.io/docs/setup/production-environment/container-runtimes/#containerd-systemd', 'https://github.com/kubernetes/enhancements/tree/master/keps/sig-node/4033-group-driver-detection-over-cri', 'https://github.com/kubernetes/kubernetes/issues/110177')),
            ('containerd', 'containerd.version', 'recommended', 'This containerd still gets fixes.', (), ('https://github.com/containerd/containerd/blob/main/RELEASES.md',)),
        ),
    ),
    "containerd_plugins": (
        12493,
        (
            ('docker', 'containerd_plugins.needed', 'required', 'No plugin of containerd is disabled that docker needs.', (), ('https://github.com/containerd/containerd/blob/v1.7.24/services/tasks/local.go', 'https://github.com/containerd/containerd/blob/v2.1.5/plugins/services/tasks/local.go', 'https://github.com/containerd/containerd/blob/main/docs/PLUGINS.md')),
            ('containerd', 'containerd_plugins.types', 'required', "The settings of containerd's plugins are of the right type.", (), ('https://github.com/containerd/containerd/blob/v1.7.24/services/server/server.go', 'https://github.com/containerd/containerd/blob/v2.1.5/cmd/containerd/server/server.go', 'https://github.com/containerd/containerd/blob/v2.1.5/plugins/metadata/plugin.go')),
            ('containerd', 'containerd_plugins.listen', 'required', "The TCP addresses on which containerd is to listen are this machine's.", (), ('https://github.com/containerd/containerd/blob/v2.1.5/cmd/containerd/command/main.go', 'https://github.com/containerd/containerd/blob/main/docs/man/containerd-config.toml.5.md')),
        ),
    ),
    "daemon": (
        24517,
        (
            ('docker or daemon.json', 'daemon.log_rotation', 'info', 'Container logs cannot fill the disk.', ('docker.log_rotation',), ('https://docs.docker.com/engine/logging/drivers/json-file/', 'https://github.com/moby/moby/blob/master/daemon/logger/jsonfilelog/jsonfilelog.go')),
            ('docker or daemon.json', 'daemon.tcp_tls', 'recommended', 'The API does not listen on the network without checking certificates.', ('docker.tcp_tls',), ('https://docs.docker.com/engine/security/protect-access/', 'https://docs.docker.com/engine/deprecated/#unauthenticated-tcp-connections')),
            ('docker or daemon.json', 'daemon.modes', 'info', 'dockerd runs in its plain modes.', ('docker.experimental', 'docker.debug'), ('https://docs.docker.com/reference/cli/dockerd/#feature-options', 'https://docs.docker.com/engine/daemon/logs/#enable-debugging')),
            ('docker or daemon.json', 'daemon.address_pools', 'recommended', 'The address pools have room for networks, and none overlaps another.', ('docker.address_pools',), ('https://docs.docker.com/engine/network/#automatic-subnet-allocation', 'https://github.com/moby/moby/blob/master/daemon/daemon_unix.go')),
            ('docker or daemon.json', 'daemon.data_root', 'recommended', 'The data root is a folder that has one place.', ('docker.data_root',), ('https://docs.docker.com/engine/daemon/#configure-the-data-directory-location', 'https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file')),
            ('docker or daemon.json', 'daemon.name_servers', 'recommended', 'Containers can reach the name servers that dockerd gives them.', (), ('https://docs.docker.com/engine/daemon/troubleshoot/#dns-resolver-issues', 'https://github.com/moby/moby/blob/v24.0.9/libnetwork/sandbox_dns_unix.go')),
            ('docker or daemon.json', 'daemon.userns_remap', 'recommended', 'The user whose ids containers get has ids.', (), ('https://docs.docker.com/engine/security/userns-remap/', 'https://github.com/moby/moby/blob/master/daemon/daemon_unix.go')),
            ('docker or daemon.json', 'daemon.cgroup_driver', 'recommended', 'The cgroup driver is the one that this host calls for.', ('docker.cgroup_driver',), ('https://docs.docker.com/engine/containers/runmetrics/#changing-cgroup-version', 'https://kubernetes.io/docs/setup/production-environment/container-runtimes/#cgroup-drivers', 'https://github.com/moby/moby/blob/master/daemon/daemon_unix.go')),
            ('docker or daemon.json', 'daemon.group', 'recommended', "The group that owns dockerd's socket exists.", ('docker.group',), ('https://docs.docker.com/engine/install/linux-postinstall/', 'https://github.com/moby/moby/blob/v28.5.2/daemon/listeners/listeners_linux.go')),
        ),
    ),
    "defaults": (
        16564,
        (
            ('docker or daemon.json', 'defaults.mtu', 'required', "The kernel takes the MTU that containers' interfaces get.", (), ('https://github.com/moby/moby/blob/v28.5.2/libnetwork/drivers/bridge/setup_device_linux.go', 'https://www.rfc-editor.org/rfc/rfc8200#section-5')),
            ('docker or daemon.json', 'defaults.fixed_cidr', 'required', 'The range that containers get their addresses from lies in the default network.', (), ('https://docs.docker.com/engine/network/drivers/bridge/#default-bridge-network', 'https://github.com/moby/moby/blob/v28.5.2/libnetwork/internal/addrset/addrset.go')),
            ('docker or daemon.json', 'defaults.runtime', 'required', 'runc takes the arguments that the default runtime gives it.', (), ('https://github.com/opencontainers/runc/blob/v1.1.15/main.go', 'https://github.com/opencontainers/runc/blob/v1.5.1/main.go', 'https://github.com/moby/moby/blob/v28.5.2/daemon/runtime_unix.go')),
            ('docker or daemon.json', 'defaults.ulimits', 'required', 'The limits that containers get by default can be set, and are enough.', (), ('https://docs.docker.com/reference/cli/dockerd/#default-ulimit-settings', 'https://man7.org/linux/man-pages/man2/setrlimit.2.html', 'https://github.com/opencontainers/runc/blob/main/libcontainer/configs/rlimit.go', 'https://github.com/awslabs/amazon-eks-ami/issues/193')),
            ('docker or daemon.json', 'defaults.init', 'required', 'The program that is to be process 1 of every container is there.', (), ('https://docs.docker.com/reference/cli/dockerd/', 'https://github.com/moby/moby/blob/master/daemon/daemon_unix.go')),
            ('docker or daemon.json', 'defaults.seccomp', 'required', 'The seccomp profile that containers get by default can be read.', (), ('https://docs.docker.com/engine/security/seccomp/', 'https://github.com/moby/moby/blob/v28.5.2/daemon/seccomp_linux.go')),
        ),
    ),
    "docker": (
        21854,
        (
            ('docker or daemon.json', 'docker.daemon_json', 'required', 'dockerd takes its configuration file.', (), ('https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file', 'https://github.com/moby/moby/blob/master/daemon/config/config.go', 'https://docs.docker.com/engine/deprecated/', 'https://pkg.go.dev/encoding/json#Unmarshal')),
            ('docker or daemon.json', 'docker.flag_conflict', 'required', "No setting stands both in daemon.json and on dockerd's command line.", (), ('https://docs.docker.com/engine/daemon/troubleshoot/#resolve-conflicts-between-the-daemonjson-and-startup-scripts', 'https://github.com/moby/moby/blob/master/daemon/config/config.go')),
            ('docker or daemon.json', 'docker.start_rules', 'required', 'dockerd starts with its configuration.', (), ('https://github.com/moby/moby/blob/master/daemon/daemon_unix.go', 'https://github.com/moby/moby/blob/master/daemon/pkg/registry/config.go', 'https://docs.docker.com/engine/logging/configure/')),
            ('docker or daemon.json', 'docker.runtimes', 'recommended', 'The programs of the configured runtimes are there.', (), ('https://docs.docker.com/engine/daemon/alternative-runtimes/', 'https://github.com/moby/moby/blob/master/daemon/runtime_unix.go', 'https://github.com/containerd/containerd/blob/main/pkg/shim/util.go')),
            ('docker or daemon.json', 'docker.duplicates', 'recommended', 'No key stands twice in daemon.json.', (), ('https://pkg.go.dev/encoding/json#Unmarshal', 'https://www.rfc-editor.org/rfc/rfc8259#section-4')),
            ('docker or daemon.json', 'docker.ignored_keys', 'recommended', 'Every key of daemon.json does something.', (), ('https://github.com/moby/moby/blob/master/daemon/config/config.go', 'https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file')),
            ('docker or daemon.json', 'docker.null_booleans', 'recommended', 'No switch in daemon.json is null.', (), ('https://github.com/moby/moby/blob/master/daemon/config/config.go', 'https://github.com/moby/moby/issues/20289')),
        ),
    ),
    "forwarding": (
        15502,
        (
            ('docker', 'forwarding.interfaces', 'required', "The interfaces that containers' packets come in by forward them.", (), ('https://docs.kernel.org/networking/ip-sysctl.html', 'https://github.com/torvalds/linux/blob/v6.12/net/ipv4/devinet.c', 'https://github.com/moby/moby/blob/v28.5.2/daemon/libnetwork/drivers/bridge/setup_ip_forwarding.go')),
            ('docker', 'forwarding.neighbours', 'required', 'Containers get the hardware address of their gateway.', (), ('https://docs.kernel.org/networking/ip-sysctl.html', 'https://github.com/torvalds/linux/blob/v6.12/net/ipv4/arp.c')),
            ('docker', 'forwarding.docker_user', 'required', 'The chain DOCKER-USER does not drop everything.', (), ('https://docs.docker.com/engine/network/firewall-iptables/', 'https://github.com/moby/moby/blob/v28.5.2/daemon/libnetwork/firewall_linux.go')),
            ('docker', 'forwarding.chains', 'required', "No chain on the way of containers' packets drops everything.", (), ('https://man7.org/linux/man-pages/man8/iptables.8.html', 'https://man7.org/linux/man-pages/man8/iptables-extensions.8.html', 'https://docs.docker.com/engine/network/firewall-iptables/')),
        ),
    ),
    "homes": (
        3890,
        (
            ('users', 'homes.storage', 'required', "Users' images lie on a file system that can stack layers and run programs.", (), ('https://docs.kernel.org/filesystems/overlayfs.html#user-xattr', 'https://github.com/torvalds/linux/commit/2daf18a7884dc03d5164ab9c7dc3f2ea70638469', 'https://github.com/containers/podman/issues/14655')),
        ),
    ),
    "images": (
        8797,
        (
            ('podman', 'images.policy', 'required', 'Podman may pull images: policy.json is there and whole.', (), ('https://github.com/containers/image/blob/main/docs/containers-policy.json.5.md', 'https://github.com/containers/image/blob/main/signature/policy_config.go')),
            ('podman', 'images.registries', 'required', 'Podman can read registries.conf and its drop-ins.', (), ('https://github.com/containers/image/blob/main/docs/containers-registries.conf.5.md', 'https://github.com/containers/image/blob/main/pkg/sysregistriesv2/system_registries_v2.go')),
        ),
    ),
    "kubelet": (
        15412,
        (
            ('a node', 'kubelet.kernel_defaults', 'required', "The kernel's settings are those that a kubelet wants which may not change them.", ('kubernetes.kernel_defaults',), ('https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/cm/container_manager_linux.go', 'https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/')),
            ('a node', 'kubelet.config', 'required', 'The kubelet can read its configuration.', ('kubernetes.kubelet_config',), ('https://kubernetes.io/docs/tasks/administer-cluster/kubelet-config-file/', 'https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/kubeletconfig/util/codec/codec.go')),
            ('a node', 'kubelet.flags', 'required', 'The kubelet knows the flags that it is given.', ('kubernetes.kubelet_flags',), ('https://github.com/kubernetes/kubernetes/blob/master/CHANGELOG/CHANGELOG-1.24.md', 'https://github.com/kubernetes/kubernetes/blob/master/CHANGELOG/CHANGELOG-1.27.md', 'https://github.com/kubernetes/kubernetes/blob/master/CHANGELOG/CHANGELOG-1.35.md', 'https://github.com/kubernetes-sigs/kubespray/issues/8924')),
            ('a node', 'kubelet.kernel_log', 'required', "The kubelet can read the kernel's log.", ('kubernetes.kernel_log',), ('https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/oom/oom_watcher_linux.go', 'https://github.com/k0sproject/k0s/issues/744', 'https://github.com/canonical/lxd/issues/6013')),
            ('a node', 'kubelet.access', 'recommended', 'Nobody without a name can ask the kubelet.', ('kubernetes.kubelet_access',), ('https://kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz/', 'https://www.cisecurity.org/benchmark/kubernetes')),
        ),
    ),
    "kubernetes": (
        14951,
        (
            ('a node', 'kubernetes.tools', 'required', 'The programs are there without which kubeadm refuses.', (), ('https://github.com/kubernetes/kubernetes/blob/master/cmd/kubeadm/app/preflight/checks_linux.go', 'https://github.com/kubernetes/kubernetes/pull/126952')),
            ('a node', 'kubernetes.node_name', 'required', "The node's name is one that the API server takes.", (), ('https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names', 'https://github.com/kubernetes/component-helpers/blob/master/node/util/hostname.go')),
            ('a node', 'kubernetes.runtime', 'required', 'The kubelet finds a container runtime.', (), ('https://kubernetes.io/docs/setup/production-environment/container-runtimes/', 'https://kubernetes.io/blog/2022/02/17/dockershim-faq/', 'https://kubernetes.io/blog/2022/11/18/upcoming-changes-in-kubernetes-1-26/#cri-api-removal', 'https://kubernetes.io/blog/2025/09/12/kubernetes-v1-34-cri-cgroup-driver-lookup-now-ga/')),
        ),
    ),
    "limits": (
        19717,
        (
            ('an engine and systemd', 'limits.rlimits', 'recommended', 'Engines and their containers may open enough files and start enough processes.', ('systemd.limits',), ('https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html', 'https://github.com/moby/moby/blob/master/contrib/init/systemd/docker.service', 'https://github.com/containerd/containerd/blob/main/containerd.service', 'https://github.com/moby/moby/pull/45534')),
            ('an engine and systemd', 'limits.process', 'recommended', "Nothing bounds the addresses, the stack or the files of the engine's processes.", (), ('https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html', 'https://man7.org/linux/man-pages/man2/getrlimit.2.html', 'https://github.com/moby/moby/blob/master/contrib/init/systemd/docker.service')),
            ('an engine and systemd', 'limits.tasks_max', 'recommended', 'The units of the engines may hold as many tasks as they need.', ('systemd.tasks_max',), ('https://www.freedesktop.org/software/systemd/man/latest/systemd.resource-control.html', 'https://github.com/moby/moby/blob/master/contrib/init/systemd/docker.service', 'https://github.com/containerd/containerd/blob/main/containerd.service')),
            ('an engine and systemd', 'limits.memory_max', 'recommended', 'The units of the engines may take the memory that they need.', ('systemd.memory_max',), ('https://www.freedesktop.org/software/systemd/man/latest/systemd.resource-control.html', 'https://github.com/moby/moby/blob/master/contrib/init/systemd/docker.service', 'https://github.com/containerd/containerd/blob/main/containerd.service')),
            ('an engine and systemd', 'limits.oom_score', 'info', "The kernel's memory killer spares the engines.", ('systemd.oom_score',), ('https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html', 'https://github.com/moby/moby/blob/master/contrib/init/systemd/docker.service', 'https://github.com/containerd/containerd/blob/main/containerd.service')),
            ('an engine and systemd', 'limits.running', 'recommended', 'The running engines have the limits that their units give them.', ('systemd.running_limits',), ('https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html', 'https://go.dev/doc/go1.19#os')),
        ),
    ),
    "logging": (
        9901,
        (
            ('docker or daemon.json', 'logging.driver', 'required', 'The log driver of containers exists, and has what it needs.', (), ('https://docs.docker.com/engine/logging/configure/#supported-logging-drivers', 'https://github.com/moby/moby/blob/v28.5.2/daemon/logger/factory.go')),
            ('docker or daemon.json', 'logging.endpoint', 'required', 'What takes the logs of containers is there.', (), ('https://github.com/moby/moby/blob/v28.5.2/daemon/logger/journald/journald.go', 'https://github.com/moby/moby/blob/v28.5.2/daemon/logger/syslog/syslog.go', 'https://github.com/moby/moby/blob/v28.5.2/daemon/logger/fluentd/fluentd.go', 'https://docs.docker.com/engine/logging/drivers/fluentd/')),
        ),
    ),
    "podman": (
        15390,
        (
            ('podman', 'podman.containers_conf', 'required', 'Podman starts with its containers.conf, and containers start with what it sets.', (), ('https://github.com/containers/common/blob/main/docs/containers.conf.5.md', 'https://github.com/containers/common/blob/main/pkg/config/config.go')),
            ('podman', 'podman.hooks', 'required', 'Podman can read the hooks that packages gave it.', (), ('https://github.com/containers/common/blob/main/pkg/hooks/docs/oci-hooks.5.md',)),
            ('podman', 'podman.programs', 'required', 'Podman finds conmon and an OCI runtime.', (), ('https://github.com/containers/common/blob/main/pkg/config/default.go', 'https://github.com/containers/conmon')),
            ('podman', 'podman.network', 'required', 'Podman has what it makes networks with.', (), ('https://github.com/containers/common/blob/v0.57.0/pkg/config/config_linux.go', 'https://github.com/containers/common/blob/main/libnetwork/network/interface_linux.go', 'https://github.com/containers/podman.io/pull/201', 'https://github.com/containers/podman/issues/13412', 'https://github.com/containers/netavark')),
        ),
    ),
    "podman_storage": (
        9039,
        (
            ('podman', 'podman_storage.configuration', 'required', 'Podman can use the storage that storage.conf names.', (), ('https://github.com/containers/storage/blob/main/docs/containers-storage.conf.5.md', 'https://github.com/containers/storage/blob/main/types/options.go', 'https://github.com/containers/storage/blob/main/drivers/overlay/overlay.go')),
            ('podman', 'podman_storage.layers', 'required', "Podman can stack layers where root's images lie.", ('podman.storage',), ('https://github.com/containers/storage/blob/v1.46.0/drivers/overlay/overlay.go', 'https://github.com/containers/storage/pull/1432', 'https://github.com/containers/storage/blob/main/docs/containers-storage.conf.5.md')),
        ),
    ),
    "programs": (
        28635,
        (
            ('docker or containerd', 'programs.present', 'required', 'The programs of an installed engine are there.', (), ('https://man7.org/linux/man-pages/man1/dpkg.1.html', 'https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html#Process%20Exit%20Codes')),
            ('docker or containerd', 'programs.loader', 'required', "The loader and the libraries of the engine's programs are there.", (), ('https://man7.org/linux/man-pages/man8/ld.so.8.html', 'https://man7.org/linux/man-pages/man2/execve.2.html', 'https://github.com/opencontainers/runc/issues/2190', 'https://github.com/moby/moby/blob/v28.5.2/libnetwork/iptables/iptables.go', 'https://github.com/containerd/containerd/issues/6209')),
            ('docker or containerd', 'programs.identity', 'required', "The engine's programs are what their names say.", (), ('https://github.com/moby/moby/blob/v20.10.24/vendor/github.com/docker/libnetwork/iptables/iptables.go', 'https://github.com/moby/moby/blob/v28.5.2/libnetwork/iptables/iptables.go', 'https://github.com/containerd/go-runc/blob/main/runc.go')),
            ('docker or containerd', 'programs.iptables_extensions', 'required', "iptables has the extensions that dockerd's rules use.", (), ('https://man7.org/linux/man-pages/man8/iptables-extensions.8.html', 'https://github.com/moby/moby/blob/v28.5.2/libnetwork/drivers/bridge/internal/iptabler/iptabler.go')),
            ('docker', 'programs.helpers', 'required', 'The programs that dockerd starts are there.', ('runtime.helpers',), ('https://github.com/moby/moby/pull/47000', 'https://github.com/moby/moby/pull/48132', 'https://github.com/moby/moby/blob/v27.0.1/daemon/config/config_linux.go', 'https://github.com/containerd/containerd/blob/main/core/runtime/v2/README.md', 'https://github.com/vmware/photon/pull/1661', 'https://github.com/geerlingguy/ansible-role-docker/issues/405', 'https://github.com/docker/cli/blob/v28.5.2/cmd/docker/builder.go')),
            ('docker or containerd', 'programs.executable', 'required', "The engine's programs are whole, and for this machine's processor.", ('runtime.executable',), ('https://man7.org/linux/man-pages/man2/execve.2.html', 'https://docs.docker.com/engine/install/binaries/')),
        ),
    ),
    "rootless_network": (
        17647,
        (
            ('users', 'rootless_network.driver', 'required', "Users' containers reach the network.", ('rootless.network_driver',), ('https://github.com/moby/moby/blob/master/contrib/dockerd-rootless.sh', 'https://github.com/rootless-containers/rootlesskit/blob/master/docs/network.md', 'https://github.com/containers/podman/blob/main/rootless.md', 'https://blog.podman.io/2024/03/podman-5-0-breaking-changes-in-detail/')),
            ('users', 'rootless_network.ports', 'required', 'Users may publish the ports that their containers are to have.', ('rootless.ports',), ('https://docs.docker.com/engine/security/rootless/tips/#exposing-privileged-ports', 'https://www.kernel.org/doc/html/latest/networking/ip-sysctl.html')),
            ('users', 'rootless_network.ping', 'info', "Ping works in users' containers.", ('rootless.ping',), ('https://docs.docker.com/engine/security/rootless/tips/#routing-ping-packets', 'https://github.com/systemd/systemd/blob/v243/NEWS')),
            ('users', 'rootless_network.iptables', 'recommended', "A user's docker can make its rules.", ('rootless.iptables',), ('https://github.com/moby/moby/blob/master/contrib/dockerd-rootless-setuptool.sh', 'https://docs.docker.com/engine/security/rootless/troubleshoot/', 'https://github.com/moby/moby/issues/49020')),
        ),
    ),
    "runtime": (
        19661,
        (
            ('docker', 'runtime.docker', 'required', 'Docker Engine is installed, and new enough for this host.', (), ('https://docs.docker.com/engine/release-notes/20.10/', 'https://github.com/moby/moby/blob/master/project/BRANCHES-AND-TAGS.md', 'https://docs.docker.com/engine/install/')),
            ('docker or containerd', 'runtime.containerd', 'required', 'Containerd is there, and of a version that this docker works with.', (), ('https://github.com/moby/moby/blob/master/project/PACKAGERS.md', 'https://github.com/docker/docker-ce-packaging/pull/961', 'https://kubernetes.io/docs/concepts/architecture/cgroups/')),
            ('docker or containerd', 'runtime.runc', 'required', "The runc that starts containers knows this host's control groups, and has no known hole.", (), ('https://github.com/opencontainers/runc/blob/main/docs/cgroup-v2.md', 'https://github.com/opencontainers/runc/blob/main/CHANGELOG.md')),
            ('docker', 'runtime.running', 'recommended', 'The docker daemon runs, and its socket is there.', (), ('https://docs.docker.com/engine/daemon/troubleshoot/', 'https://github.com/moby/moby/issues/30348')),
        ),
    ),
    "server": (
        7778,
        (
            ('docker or daemon.json', 'server.pid_file', 'required', 'No pid file keeps dockerd from starting.', (), ('https://github.com/moby/moby/blob/v28.5.2/pkg/pidfile/pidfile.go', 'https://github.com/moby/moby/blob/v28.5.2/cmd/dockerd/daemon.go')),
            ('docker or daemon.json', 'server.listen', 'required', 'The addresses on which dockerd is to listen are free.', (), ('https://github.com/moby/moby/blob/v28.5.2/cmd/dockerd/metrics.go', 'https://github.com/moby/moby/blob/v28.5.2/cmd/dockerd/daemon.go')),
            ('docker or daemon.json', 'server.authorization', 'required', 'The authorization plugins of dockerd are there.', (), ('https://docs.docker.com/engine/extend/plugins_authorization/', 'https://docs.docker.com/engine/extend/plugin_api/#plugin-discovery', 'https://github.com/moby/moby/blob/v28.5.2/cmd/dockerd/daemon.go')),
        ),
    ),
    "startup": (
        17916,
        (
            ('docker', 'startup.data_root', 'required', 'The data root is there, or can be made.', (), ('https://github.com/moby/moby/blob/v20.10.24/daemon/daemon_unix.go', 'https://github.com/moby/moby/blob/v28.5.2/daemon/daemon_unix.go')),
            ('docker', 'startup.exec_root', 'required', 'The folder for what runs is an absolute path that can be made.', (), ('https://github.com/moby/moby/blob/v28.5.2/cmd/dockerd/daemon.go', 'https://github.com/moby/moby/blob/v28.5.2/libnetwork/sandbox_externalkey_unix.go', 'https://man7.org/linux/man-pages/man7/unix.7.html')),
            ('docker', 'startup.remapped_root', 'required', 'The user whose ids containers get may pass through the folders above the data root.', (), ('https://github.com/moby/moby/blob/v20.10.24/daemon/daemon_unix.go', 'https://github.com/moby/moby/blob/v28.5.2/daemon/daemon_unix.go', 'https://docs.docker.com/engine/security/userns-remap/')),
            ('docker', 'startup.mounts', 'recommended', 'The disk with images and volumes is mounted before the engine starts.', (), ('https://www.freedesktop.org/software/systemd/man/latest/systemd.mount.html#fstab', 'https://github.com/docker/for-linux/issues/1062', 'https://github.com/systemd/systemd/blob/main/src/fstab-generator/fstab-generator.c')),
            ('docker', 'startup.key_file', 'required', 'dockerd before 23.0 can read its key, or make one.', (), ('https://github.com/moby/moby/blob/v20.10.24/daemon/trustkey.go', 'https://github.com/moby/moby/blob/v23.0.6/daemon/id.go', 'https://github.com/docker/libtrust/blob/master/key_files.go')),
            ('docker', 'startup.containerd_address', 'required', 'dockerd asks containerd where containerd listens.', (), ('https://github.com/moby/moby/blob/v28.5.2/cmd/dockerd/daemon_unix.go', 'https://github.com/containerd/containerd/blob/main/docs/man/containerd-config.toml.5.md')),
        ),
    ),
    "state": (
        18922,
        (
            ('docker', 'state.databases', 'required', 'The databases of dockerd and containerd are whole.', (), ('https://github.com/moby/moby/blob/v28.5.2/volume/service/store.go', 'https://github.com/moby/moby/blob/v28.5.2/builder/builder-next/controller.go', 'https://github.com/containerd/containerd/blob/main/plugins/metadata/plugin.go', 'https://github.com/etcd-io/bbolt/blob/main/internal/common/meta.go')),
            ('docker', 'state.image_names', 'required', 'dockerd can read the names of its images.', (), ('https://github.com/moby/moby/blob/v26.1.5/reference/store.go', 'https://github.com/moby/moby/blob/v26.1.5/daemon/daemon.go')),
            ('docker', 'state.folders', 'required', 'Where dockerd and containerd keep what they know there are folders.', (), ('https://github.com/moby/moby/blob/v20.10.24/daemon/daemon.go', 'https://github.com/moby/moby/blob/v28.5.2/daemon/daemon.go', 'https://github.com/moby/moby/blob/v28.5.2/volume/local/local.go', 'https://github.com/moby/moby/blob/v28.5.2/plugin/manager.go', 'https://github.com/opencontainers/runc/blob/v1.3.3/libcontainer/configs/validate/validator.go')),
            ('docker', 'state.files', 'required', 'What dockerd reads as a file below its data root is no folder.', (), ('https://github.com/moby/moby/blob/v23.0.6/daemon/id.go', 'https://github.com/moby/moby/blob/v28.5.2/daemon/id.go')),
            ('docker', 'state.layers', 'recommended', "The names of overlay2's layers are whole.", ('storage.layers',), ('https://github.com/moby/moby/issues/35747', 'https://github.com/moby/moby/blob/graphdriver/overlay2/overlay.go')),
            ('docker', 'state.network_database', 'recommended', "The database of docker's networks is whole.", ('storage.network_database',), ('https://github.com/moby/moby/issues/43072', 'https://github.com/etcd-io/bbolt/blob/main/internal/common/meta.go')),
        ),
    ),
    "subids": (
        3676,
        (
            ('users', 'subids.files', 'required', 'newuidmap can open the files of subordinate ids.', (), ('https://github.com/shadow-maint/shadow/blob/4.13/lib/commonio.c', 'https://github.com/rootless-containers/rootlesskit/issues/259')),
            ('users', 'subids.own', 'required', 'No range of subordinate ids holds the number of its own user.', (), ('https://man7.org/linux/man-pages/man7/user_namespaces.7.html', 'https://github.com/rootless-containers/rootlesskit/issues/476', 'https://github.com/containers/podman/pull/7162')),
        ),
    ),
    "systemd": (
        20666,
        (
            ('an engine and systemd', 'systemd.delegate', 'recommended', 'systemd leaves the cgroups below the engines alone.', (), ('https://systemd.io/CGROUP_DELEGATION/', 'https://github.com/containerd/containerd/blob/main/docs/ops.md', 'https://github.com/moby/moby/blob/master/contrib/init/systemd/docker.service')),
            ('an engine and systemd', 'systemd.kill_mode', 'recommended', 'Stopping or restarting an engine leaves its containers alone.', (), ('https://www.freedesktop.org/software/systemd/man/latest/systemd.kill.html', 'https://github.com/moby/moby/blob/master/contrib/init/systemd/docker.service', 'https://github.com/containerd/containerd/blob/main/containerd.service')),
            ('an engine and systemd', 'systemd.restart', 'info', 'An engine that dies is started again.', (), ('https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html', 'https://github.com/systemd/systemd/blob/v230/NEWS', 'https://github.com/moby/moby/blob/master/contrib/init/systemd/docker.service')),
            ('an engine and systemd', 'systemd.exec', 'required', "systemd accepts the engines' units and finds the programs that they name.", (), ('https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html', 'https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html', 'https://docs.docker.com/engine/daemon/troubleshoot/')),
            ('an engine and systemd', 'systemd.socket', 'required', 'docker.socket can be made.', (), ('https://www.freedesktop.org/software/systemd/man/latest/systemd.socket.html', 'https://github.com/moby/moby/blob/master/contrib/init/systemd/docker.service')),
        ),
    ),
    "units": (
        17141,
        (
            ('an engine and systemd', 'units.enabled', 'recommended', 'The engines start at boot.', ('systemd.enabled',), ('https://docs.docker.com/engine/install/linux-postinstall/', 'https://www.freedesktop.org/software/systemd/man/latest/systemd.unit.html')),
            ('an engine and systemd', 'units.dependencies', 'required', "Every unit that an engine's unit cannot do without exists.", ('systemd.dependencies',), ('https://www.freedesktop.org/software/systemd/man/latest/systemd.unit.html', 'https://github.com/docker/for-linux/issues/678')),
            ('an engine and systemd', 'units.syntax', 'recommended', "systemd takes every line of the engines' units.", ('systemd.unit_syntax',), ('https://github.com/docker/for-linux/issues/628', 'https://www.freedesktop.org/software/systemd/man/latest/systemd.syntax.html', 'https://www.freedesktop.org/software/systemd/man/latest/systemd.unit.html', 'https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html')),
            ('an engine and systemd', 'units.reload_pending', 'recommended', "systemd has read the engines' units as they are now.", ('systemd.reload_pending',), ('https://www.freedesktop.org/software/systemd/man/latest/org.freedesktop.systemd1.html',)),
        ),
    ),
}
"""Family to the bytes of its file, and of each check gate, id, severity, title, aliases and references."""
