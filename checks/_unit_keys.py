"""Keys that unit files may hold, by section.

Those of systemd 252 (`systemd --dump-configuration-items`), with later and older ones added. One text a section, since
splitting the one that is asked for costs less than loading a set of each.
"""

KEYS: dict[str, str] = {
    "Unit": """
        After AllowIsolate AssertACPower AssertArchitecture AssertCPUFeature AssertCPUPressure AssertCPUs
        AssertCapability AssertControlGroupController AssertCredential AssertDirectoryNotEmpty
        AssertEnvironment AssertFileIsExecutable AssertFileNotEmpty AssertFirstBoot AssertFraction
        AssertGroup AssertHost AssertIOPressure AssertKernelCommandLine AssertKernelModuleLoaded
        AssertKernelVersion AssertMachineTag AssertMemory AssertMemoryPressure AssertNeedsUpdate
        AssertOSRelease AssertPathExists AssertPathExistsGlob AssertPathIsDirectory AssertPathIsEncrypted
        AssertPathIsMountPoint AssertPathIsReadWrite AssertPathIsSocket AssertPathIsSymbolicLink
        AssertSecurity AssertUser AssertVersion AssertVirtualization Before BindTo BindsTo CollectMode
        ConditionACPower ConditionArchitecture ConditionCPUFeature ConditionCPUPressure ConditionCPUs
        ConditionCapability ConditionControlGroupController ConditionCredential ConditionDirectoryNotEmpty
        ConditionEnvironment ConditionFileIsExecutable ConditionFileNotEmpty ConditionFirmware
        ConditionFirstBoot ConditionFraction ConditionGroup ConditionHost ConditionIOPressure
        ConditionKernelCommandLine ConditionKernelModuleLoaded ConditionKernelVersion ConditionMachineTag
        ConditionMemory ConditionMemoryPressure ConditionNeedsUpdate ConditionOSRelease ConditionPathExists
        ConditionPathExistsGlob ConditionPathIsDirectory ConditionPathIsEncrypted ConditionPathIsMountPoint
        ConditionPathIsReadWrite ConditionPathIsSocket ConditionPathIsSymbolicLink ConditionSecurity
        ConditionUser ConditionVersion ConditionVirtualization Conflicts DefaultDependencies Description
        Documentation FailureAction FailureActionExitStatus IgnoreOnIsolate JobRunningTimeoutSec
        JobTimeoutAction JobTimeoutRebootArgument JobTimeoutSec JoinsNamespaceOf OnFailure OnFailureIsolate
        OnFailureJobMode OnSuccess OnSuccessJobMode PartOf PropagateReloadFrom PropagateReloadTo
        PropagatesReloadTo PropagatesStopTo RebootArgument RefuseManualStart RefuseManualStop
        ReloadPropagatedFrom Requires RequiresMountsFor RequiresOverridable Requisite RequisiteOverridable
        SourcePath StartLimitAction StartLimitBurst StartLimitInterval StartLimitIntervalSec
        StopPropagatedFrom StopWhenUnneeded SuccessAction SuccessActionExitStatus SurviveFinalKillSignal
        Upholds Wants WantsMountsFor
        """,
    "Service": """
        AllowedCPUs AllowedMemoryNodes AmbientCapabilities AppArmorProfile BPFDelegateAttachments
        BPFDelegateCommands BPFDelegateMaps BPFDelegatePrograms BPFProgram BindLogSockets BindPaths
        BindReadOnlyPaths BlockIOAccounting BlockIODeviceWeight BlockIOReadBandwidth BlockIOWeight
        BlockIOWriteBandwidth BusName CPUAccounting CPUAffinity CPUPressureThresholdSec CPUPressureWatch
        CPUQuota CPUQuotaPeriodSec CPUSchedulingPolicy CPUSchedulingPriority CPUSchedulingResetOnFork
        CPUShares CPUWeight CacheDirectory CacheDirectoryAccounting CacheDirectoryMode CacheDirectoryQuota
        Capabilities CapabilityBoundingSet ConfigurationDirectory ConfigurationDirectoryMode CoredumpFilter
        CoredumpReceive DefaultMemoryLow DefaultMemoryMin Delegate DelegateNamespaces DelegateSubgroup
        DeviceAllow DevicePolicy DisableControllers DynamicUser Environment EnvironmentFile ExecCondition
        ExecPaths ExecReload ExecReloadPost ExecSearchPath ExecStart ExecStartPost ExecStartPre ExecStop
        ExecStopPost ExitType ExtensionDirectories ExtensionImagePolicy ExtensionImages ExtraFileDescriptors
        FailureAction FileDescriptorStoreMax FileDescriptorStorePreserve FinalKillSignal Group GuessMainPID
        IOAccounting IODeviceLatencyTargetSec IODeviceWeight IOPressureThresholdSec IOPressureWatch
        IOReadBandwidthMax IOReadIOPSMax IOSchedulingClass IOSchedulingPriority IOWeight IOWriteBandwidthMax
        IOWriteIOPSMax IPAccounting IPAddressAllow IPAddressDeny IPCNamespacePath IPEgressFilterPath
        IPIngressFilterPath IgnoreSIGPIPE ImportCredential InaccessibleDirectories InaccessiblePaths
        KeyringMode KillMode KillSignal LimitAS LimitCORE LimitCPU LimitDATA LimitFSIZE LimitLOCKS
        LimitMEMLOCK LimitMSGQUEUE LimitNICE LimitNOFILE LimitNPROC LimitRSS LimitRTPRIO LimitRTTIME
        LimitSIGPENDING LimitSTACK LoadCredential LoadCredentialEncrypted LockPersonality LogExtraFields
        LogFilterPatterns LogLevelMax LogNamespace LogRateLimitBurst LogRateLimitIntervalSec LogsDirectory
        LogsDirectoryAccounting LogsDirectoryMode LogsDirectoryQuota ManagedOOMMemoryPressure
        ManagedOOMMemoryPressureDurationSec ManagedOOMMemoryPressureLimit ManagedOOMPreference
        ManagedOOMSwap MemoryAccounting MemoryDenyWriteExecute MemoryHigh MemoryKSM MemoryLimit MemoryLow
        MemoryMax MemoryMin MemoryPressureThresholdSec MemoryPressureWatch MemorySwapMax MemoryTHP
        MemoryZSwapMax MemoryZSwapWriteback MountAPIVFS MountFlags MountImagePolicy MountImages NFTSet
        NUMAMask NUMAPolicy NetworkNamespacePath Nice NoExecPaths NoNewPrivileges NonBlocking NotifyAccess
        OOMPolicy OOMScoreAdjust OpenFile PAMName PIDFile PassEnvironment PermissionsStartOnly
        Personality PrivateBPF PrivateDevices PrivateIPC PrivateMounts PrivateNetwork PrivatePIDs PrivateTmp
        PrivateUsers ProcSubset ProtectClock ProtectControlGroups
        ProtectHome ProtectHostname ProtectKernelLogs
        ProtectKernelModules ProtectKernelTunables ProtectProc ProtectSystem ReadOnlyDirectories
        ReadOnlyPaths ReadWriteDirectories ReadWritePaths RebootArgument RefreshOnReload ReloadSignal
        RemainAfterExit RemoveIPC Restart RestartForceExitStatus RestartKillSignal RestartMaxDelaySec
        RestartMode RestartPreventExitStatus RestartSec RestartSteps RestrictAddressFamilies
        RestrictFileSystems RestrictNamespaces RestrictNetworkInterfaces RestrictRealtime RestrictSUIDSGID
        RootDirectory RootDirectoryStartOnly RootEphemeral RootHash RootHashSignature RootImage
        RootImageOptions RootImagePolicy RootVerity RuntimeDirectory RuntimeDirectoryMode
        RuntimeDirectoryPreserve RuntimeMaxSec RuntimeRandomizedExtraSec SELinuxContext SecureBits
        SendSIGHUP SendSIGKILL SetCredential SetCredentialEncrypted SetLoginEnvironment Slice
        SmackProcessLabel SocketBindAllow SocketBindDeny Sockets StandardError StandardInput
        StandardInputData StandardInputText StandardOutput StartLimitAction StartLimitBurst
        StartLimitInterval StartupAllowedCPUs StartupAllowedMemoryNodes StartupBlockIOWeight
        StartupCPUShares StartupCPUWeight StartupIOWeight StartupMemoryHigh StartupMemoryLow
        StartupMemoryMax StartupMemoryMin StartupMemorySwapMax StartupMemoryZSwapMax StateDirectory
        StateDirectoryAccounting StateDirectoryMode StateDirectoryQuota SuccessExitStatus
        SupplementaryGroups SysVStartPriority SyslogFacility SyslogIdentifier SyslogLevel SyslogLevelPrefix
        SystemCallArchitectures SystemCallErrorNumber SystemCallFilter SystemCallLog TTYColumns TTYPath
        TTYReset TTYRows TTYVHangup TTYVTDisallocate TasksAccounting TasksMax TemporaryFileSystem
        TimeoutAbortSec TimeoutCleanSec TimeoutSec TimeoutStartFailureMode TimeoutStartSec
        TimeoutStopFailureMode TimeoutStopSec TimerSlackNSec Type UMask USBFunctionDescriptors
        USBFunctionStrings UnsetEnvironment User UserNamespacePath UtmpIdentifier UtmpMode WatchdogSec
        WatchdogSignal WorkingDirectory
        """,
    "Socket": """
        Accept AcceptFileDescriptors AllowedCPUs AllowedMemoryNodes AmbientCapabilities AppArmorProfile
        BPFDelegateAttachments BPFDelegateCommands BPFDelegateMaps BPFDelegatePrograms BPFProgram Backlog
        BindIPv6Only BindLogSockets BindPaths BindReadOnlyPaths BindToDevice BlockIOAccounting
        BlockIODeviceWeight BlockIOReadBandwidth BlockIOWeight BlockIOWriteBandwidth Broadcast CPUAccounting
        CPUAffinity CPUPressureThresholdSec CPUPressureWatch CPUQuota CPUQuotaPeriodSec CPUSchedulingPolicy
        CPUSchedulingPriority CPUSchedulingResetOnFork CPUShares CPUWeight CacheDirectory
        CacheDirectoryAccounting CacheDirectoryMode CacheDirectoryQuota Capabilities CapabilityBoundingSet
        ConfigurationDirectory ConfigurationDirectoryMode CoredumpFilter CoredumpReceive DefaultMemoryLow
        DefaultMemoryMin DeferAcceptSec DeferTrigger DeferTriggerMaxSec Delegate DelegateNamespaces
        DelegateSubgroup DeviceAllow DevicePolicy DirectoryMode DisableControllers DynamicUser Environment
        EnvironmentFile ExecPaths ExecReloadPost ExecSearchPath ExecStartPost ExecStartPre ExecStopPost
        ExecStopPre ExtensionDirectories ExtensionImagePolicy ExtensionImages ExtraFileDescriptors
        FailureAction FileDescriptorName FileDescriptorStorePreserve FinalKillSignal FlushPending FreeBind
        Group IOAccounting IODeviceLatencyTargetSec IODeviceWeight IOPressureThresholdSec IOPressureWatch
        IOReadBandwidthMax IOReadIOPSMax IOSchedulingClass IOSchedulingPriority IOWeight IOWriteBandwidthMax
        IOWriteIOPSMax IPAccounting IPAddressAllow IPAddressDeny IPCNamespacePath IPEgressFilterPath
        IPIngressFilterPath IPTOS IPTTL IgnoreSIGPIPE ImportCredential InaccessibleDirectories
        InaccessiblePaths KeepAlive KeepAliveIntervalSec KeepAliveProbes KeepAliveTimeSec KeyringMode
        KillMode KillSignal LimitAS LimitCORE LimitCPU LimitDATA LimitFSIZE LimitLOCKS LimitMEMLOCK
        LimitMSGQUEUE LimitNICE LimitNOFILE LimitNPROC LimitRSS LimitRTPRIO LimitRTTIME LimitSIGPENDING
        LimitSTACK ListenDatagram ListenFIFO ListenMessageQueue ListenNetlink ListenSequentialPacket
        ListenSpecial ListenStream ListenUSBFunction LoadCredential LoadCredentialEncrypted LockPersonality
        LogExtraFields LogFilterPatterns LogLevelMax LogNamespace LogRateLimitBurst LogRateLimitIntervalSec
        LogsDirectory LogsDirectoryAccounting LogsDirectoryMode LogsDirectoryQuota ManagedOOMMemoryPressure
        ManagedOOMMemoryPressureDurationSec ManagedOOMMemoryPressureLimit ManagedOOMPreference
        ManagedOOMSwap Mark MaxConnections MaxConnectionsPerSource MemoryAccounting MemoryDenyWriteExecute
        MemoryHigh MemoryKSM MemoryLimit MemoryLow MemoryMax MemoryMin MemoryPressureThresholdSec
        MemoryPressureWatch MemorySwapMax MemoryTHP MemoryZSwapMax MemoryZSwapWriteback
        MessageQueueMaxMessages MessageQueueMessageSize MountAPIVFS MountFlags MountImagePolicy MountImages
        NFTSet NUMAMask NUMAPolicy NetworkNamespacePath Nice NoDelay NoExecPaths NoNewPrivileges
        OOMScoreAdjust OpenFile PAMName PassCredentials PassEnvironment PassFileDescriptorsToExec PassPIDFD
        PassPacketInfo PassSecurity PermissionsStartOnly Personality PipeSize PollLimitBurst
        PollLimitIntervalSec Priority PrivateBPF PrivateDevices PrivateIPC PrivateMounts PrivateNetwork
        PrivatePIDs PrivateTmp PrivateUsers ProcSubset ProtectClock
        ProtectControlGroups ProtectHome ProtectHostname
        ProtectKernelLogs ProtectKernelModules ProtectKernelTunables ProtectProc ProtectSystem
        ReadOnlyDirectories ReadOnlyPaths ReadWriteDirectories ReadWritePaths RebootArgument ReceiveBuffer
        RefreshOnReload ReloadSignal RemoveIPC RemoveOnStop RestartKillSignal RestartMaxDelaySec RestartMode
        RestartSteps RestrictAddressFamilies RestrictFileSystems RestrictNamespaces
        RestrictNetworkInterfaces RestrictRealtime RestrictSUIDSGID ReusePort RootDirectory RootEphemeral
        RootHash RootHashSignature RootImage RootImageOptions RootImagePolicy RootVerity
        RuntimeDirectory RuntimeDirectoryMode RuntimeDirectoryPreserve SELinuxContext SELinuxContextFromNet
        SecureBits SendBuffer SendSIGHUP SendSIGKILL Service SetCredential SetCredentialEncrypted
        SetLoginEnvironment Slice SmackLabel SmackLabelIPIn SmackLabelIPOut SmackProcessLabel
        SocketBindAllow SocketBindDeny SocketGroup SocketMode SocketProtocol SocketUser StandardError
        StandardInput StandardInputData StandardInputText StandardOutput StartLimitAction StartLimitBurst
        StartLimitInterval StartupAllowedCPUs StartupAllowedMemoryNodes StartupBlockIOWeight
        StartupCPUShares StartupCPUWeight StartupIOWeight StartupMemoryHigh StartupMemoryLow
        StartupMemoryMax StartupMemoryMin StartupMemorySwapMax StartupMemoryZSwapMax StateDirectory
        StateDirectoryAccounting StateDirectoryMode StateDirectoryQuota SupplementaryGroups Symlinks
        SysVStartPriority SyslogFacility SyslogIdentifier SyslogLevel SyslogLevelPrefix
        SystemCallArchitectures SystemCallErrorNumber SystemCallFilter SystemCallLog TCPCongestion
        TTYColumns TTYPath TTYReset TTYRows TTYVHangup TTYVTDisallocate TasksAccounting TasksMax
        TemporaryFileSystem TimeoutCleanSec TimeoutSec TimerSlackNSec Timestamping Transparent
        TriggerLimitBurst TriggerLimitIntervalSec UMask UnsetEnvironment User UserNamespacePath
        UtmpIdentifier UtmpMode WatchdogSignal WorkingDirectory Writable

        """,
    "Install": """
        Alias Also DefaultInstance RequiredBy UpheldBy WantedBy
        """,
}
