"""The keys of containerd's plugins, by what their values are.

As `containerd config default` of 1.6, 1.7 and 2.1 prints them.
"""

from __future__ import annotations

KEYS: dict[str, tuple[str, dict[str, str]]] = {
    "io.containerd.cri.v1.images": (
        "2",
        {
            "bool": (
                "disable_snapshot_annotations discard_unpacked_layers image_pull_with_sync_fs "
                "use_local_image_pull"
            ),
            "int": "concurrent_layer_fetch_buffer max_concurrent_downloads stats_collect_period",
            "str": (
                "image_decryption.key_model image_pull_progress_timeout pinned_images.sandbox "
                "registry.config_path snapshotter"
            ),
        },
    ),
    "io.containerd.cri.v1.runtime": (
        "2",
        {
            "bool": (
                "cni.setup_serially cni.use_internal_loopback "
                "containerd.ignore_blockio_not_enabled_errors containerd.ignore_rdt_not_enabled_errors "
                "device_ownership_from_security_context disable_apparmor disable_hugetlb_controller "
                "disable_proc_mount enable_cdi enable_selinux enable_unprivileged_icmp "
                "enable_unprivileged_ports ignore_image_defined_volumes netns_mounts_under_state_dir "
                "restrict_oom_score_adj tolerate_missing_hugetlb_controller"
            ),
            "int": "cni.max_conf_num max_container_log_line_size selinux_category_range",
            "list": "cdi_spec_dirs cni.bin_dirs ignore_deprecation_warnings",
            "str": (
                "cni.bin_dir cni.conf_dir cni.conf_template cni.ip_pref containerd.default_runtime_name "
                "drain_exec_sync_io_timeout unset_seccomp_profile"
            ),
        },
    ),
    "io.containerd.differ.v1.erofs": (
        "2",
        {
            "list": "mkfs_options",
        },
    ),
    "io.containerd.gc.v1.scheduler": (
        "1 2",
        {
            "int": "deletion_threshold mutation_threshold",
            "str": "schedule_delay startup_delay",
        },
    ),
    "io.containerd.grpc.v1.cri": (
        "1 2",
        {
            "bool": (
                "cni.setup_serially containerd.default_runtime.privileged_without_host_devices "
                "containerd.default_runtime.privileged_without_host_devices_all_devices_allowed "
                "containerd.disable_snapshot_annotations containerd.discard_unpacked_layers "
                "containerd.ignore_blockio_not_enabled_errors containerd.ignore_rdt_not_enabled_errors "
                "containerd.no_pivot "
                "containerd.untrusted_workload_runtime.privileged_without_host_devices "
                "containerd.untrusted_workload_runtime.privileged_without_host_devices_all_devices_allowed "
                "device_ownership_from_security_context disable_apparmor disable_cgroup "
                "disable_hugetlb_controller disable_proc_mount disable_tcp_service enable_cdi "
                "enable_selinux enable_tls_streaming enable_unprivileged_icmp enable_unprivileged_ports "
                "ignore_image_defined_volumes image_pull_with_sync_fs netns_mounts_under_state_dir "
                "restrict_oom_score_adj systemd_cgroup tolerate_missing_hugetlb_controller"
            ),
            "int": (
                "cni.max_conf_num containerd.default_runtime.cni_max_conf_num "
                "containerd.untrusted_workload_runtime.cni_max_conf_num max_concurrent_downloads "
                "max_container_log_line_size selinux_category_range stats_collect_period"
            ),
            "list": (
                "cdi_spec_dirs containerd.default_runtime.container_annotations "
                "containerd.default_runtime.pod_annotations "
                "containerd.untrusted_workload_runtime.container_annotations "
                "containerd.untrusted_workload_runtime.pod_annotations ignore_deprecation_warnings"
            ),
            "str": (
                "cni.bin_dir cni.conf_dir cni.conf_template cni.ip_pref "
                "containerd.default_runtime.base_runtime_spec containerd.default_runtime.cni_conf_dir "
                "containerd.default_runtime.runtime_engine containerd.default_runtime.runtime_path "
                "containerd.default_runtime.runtime_root containerd.default_runtime.runtime_type "
                "containerd.default_runtime.sandbox_mode containerd.default_runtime.snapshotter "
                "containerd.default_runtime_name containerd.snapshotter "
                "containerd.untrusted_workload_runtime.base_runtime_spec "
                "containerd.untrusted_workload_runtime.cni_conf_dir "
                "containerd.untrusted_workload_runtime.runtime_engine "
                "containerd.untrusted_workload_runtime.runtime_path "
                "containerd.untrusted_workload_runtime.runtime_root "
                "containerd.untrusted_workload_runtime.runtime_type "
                "containerd.untrusted_workload_runtime.sandbox_mode "
                "containerd.untrusted_workload_runtime.snapshotter drain_exec_sync_io_timeout "
                "image_decryption.key_model image_pull_progress_timeout registry.config_path "
                "sandbox_image stream_idle_timeout stream_server_address stream_server_port "
                "unset_seccomp_profile x509_key_pair_streaming.tls_cert_file "
                "x509_key_pair_streaming.tls_key_file"
            ),
        },
    ),
    "io.containerd.image-verifier.v1.bindir": (
        "2",
        {
            "int": "max_verifiers",
            "str": "bin_dir per_verifier_timeout",
        },
    ),
    "io.containerd.internal.v1.opt": (
        "1 2",
        {
            "str": "path",
        },
    ),
    "io.containerd.internal.v1.restart": (
        "1",
        {
            "str": "interval",
        },
    ),
    "io.containerd.metadata.v1.bolt": (
        "1 2",
        {
            "bool": "no_sync",
            "str": "content_sharing_policy",
        },
    ),
    "io.containerd.monitor.container.v1.restart": (
        "2",
        {
            "str": "interval",
        },
    ),
    "io.containerd.monitor.task.v1.cgroups": (
        "2",
        {
            "bool": "no_prometheus",
        },
    ),
    "io.containerd.monitor.v1.cgroups": (
        "1",
        {
            "bool": "no_prometheus",
        },
    ),
    "io.containerd.nri.v1.nri": (
        "1 2",
        {
            "bool": "disable disable_connections",
            "str": (
                "plugin_config_path plugin_path plugin_registration_timeout plugin_request_timeout "
                "socket_path"
            ),
        },
    ),
    "io.containerd.runtime.v1.linux": (
        "1",
        {
            "bool": "no_shim shim_debug",
            "str": "runtime runtime_root shim",
        },
    ),
    "io.containerd.runtime.v2.task": (
        "1 2",
        {
            "bool": "sched_core",
            "list": "platforms",
        },
    ),
    "io.containerd.service.v1.diff-service": (
        "1 2",
        {
            "bool": "sync_fs",
            "list": "default",
        },
    ),
    "io.containerd.service.v1.tasks-service": (
        "1 2",
        {
            "str": "blockio_config_file rdt_config_file",
        },
    ),
    "io.containerd.shim.v1.manager": (
        "2",
        {
            "list": "env",
        },
    ),
    "io.containerd.snapshotter.v1.aufs": (
        "1",
        {
            "str": "root_path",
        },
    ),
    "io.containerd.snapshotter.v1.blockfile": (
        "1 2",
        {
            "bool": "recreate_scratch",
            "list": "mount_options",
            "str": "fs_type root_path scratch_file",
        },
    ),
    "io.containerd.snapshotter.v1.btrfs": (
        "1 2",
        {
            "str": "root_path",
        },
    ),
    "io.containerd.snapshotter.v1.devmapper": (
        "1 2",
        {
            "bool": "async_remove discard_blocks",
            "str": "base_image_size fs_options fs_type pool_name root_path",
        },
    ),
    "io.containerd.snapshotter.v1.erofs": (
        "2",
        {
            "bool": "enable_fsverity set_immutable",
            "list": "ovl_mount_options",
            "str": "root_path",
        },
    ),
    "io.containerd.snapshotter.v1.native": (
        "1 2",
        {
            "str": "root_path",
        },
    ),
    "io.containerd.snapshotter.v1.overlayfs": (
        "1 2",
        {
            "bool": "slow_chown sync_remove upperdir_label",
            "list": "mount_options",
            "str": "root_path",
        },
    ),
    "io.containerd.snapshotter.v1.zfs": (
        "1",
        {
            "str": "root_path",
        },
    ),
    "io.containerd.transfer.v1.local": (
        "1 2",
        {
            "bool": "check_platform_supported",
            "int": "concurrent_layer_fetch_buffer max_concurrent_downloads max_concurrent_uploaded_layers",
            "list": "unpack_config",
            "str": "config_path",
        },
    ),
}
"""By plugin: the first numbers of the releases that have it, and by type the paths of its keys. Not here: numbers with
a point, for releases differ in whether they take a whole one, and runtimes, whose options are read later."""
