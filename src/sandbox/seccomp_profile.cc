// SPDX-License-Identifier: Apache-2.0
#include "sandbox/seccomp_profile.h"

#include <cerrno>

#include "base/strings.h"

namespace slipway::sandbox {
namespace {

using text::Json;

// What every container may call. The set is the one that container runtimes agree on (containerd's and Docker's default
// profile, Linux 6.x); calls that only make sense with a capability stand below, beside it.
constexpr std::string_view always =
    "_llseek _newselect accept accept4 access adjtimex alarm arch_prctl bind brk cachestat capget capset chdir "
    "chmod chown chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime "
    "clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat "
    "dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait "
    "epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 "
    "fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl "
    "fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs "
    "fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait futex_wake futimesat "
    "get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 "
    "getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority "
    "getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname getsockopt "
    "gettid gettimeofday getuid getuid32 getxattr inotify_add_watch inotify_init inotify_init1 "
    "inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit ioctl ioprio_get "
    "ioprio_set ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 "
    "lgetxattr link linkat listen listxattr llistxattr lremovexattr lseek lsetxattr lstat lstat64 madvise "
    "map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 "
    "mlockall mmap mmap2 modify_ldt mprotect mq_getsetattr mq_notify mq_open mq_timedreceive "
    "mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap msgctl msgget msgrcv msgsnd "
    "msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat open openat openat2 pause "
    "pidfd_getfd pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll "
    "ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv process_vm_writev "
    "pselect6 pselect6_time64 ptrace pwrite64 pwritev pwritev2 read readahead readdir readlink readlinkat "
    "readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr rename renameat "
    "renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo "
    "rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo "
    "sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam "
    "sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr "
    "sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop "
    "semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list set_thread_area "
    "set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer "
    "setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 "
    "setrlimit setsid setsockopt setuid setuid32 setxattr shmat shmctl shmdt shmget shutdown sigaction "
    "sigaltstack signal signalfd signalfd4 sigpending sigprocmask sigreturn sigsuspend socketcall socketpair "
    "splice stat stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range sync_file_range2 syncfs "
    "syscall sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 "
    "timer_settime timer_settime64 timerfd timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime "
    "timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat utime utimensat "
    "utimensat_time64 utimes vfork wait4 waitid waitpid write writev";

struct Gated {
  std::string_view capability;
  std::string_view names;
};
constexpr Gated gated[] = {
    {"CAP_DAC_READ_SEARCH", "open_by_handle_at"},
    {"CAP_SYS_ADMIN",
     "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount "
     "open_tree perf_event_open pivot_root quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 "
     "unshare"},
    {"CAP_SYS_BOOT", "reboot"},
    {"CAP_SYS_CHROOT", "chroot"},
    {"CAP_SYS_MODULE", "delete_module finit_module init_module"},
    {"CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"},
    {"CAP_SYS_PACCT", "acct"},
    {"CAP_SYS_PTRACE", "kcmp process_madvise"},
    {"CAP_SYS_RAWIO", "ioperm iopl"},
    {"CAP_SYS_TIME", "clock_settime clock_settime64 settimeofday stime"},
    {"CAP_SYS_TTY_CONFIG", "vhangup"},
    {"CAP_SYSLOG", "syslog"},
};

constexpr std::int64_t namespace_flags = 0x7E020000;  // CLONE_NEW*: clone(2) without CAP_SYS_ADMIN makes none
constexpr std::int64_t address_family_vsock = 40;
constexpr std::int64_t personalities[] = {0x0, 0x8, 0x20000, 0x20008, 0xffffffff};

Json names_of(std::string_view words) {
  std::vector<Json> names;
  for (const std::string_view word : split(words, ' ')) names.emplace_back(word);
  return Json::array(std::move(names));
}

Json argument(std::int64_t index, std::int64_t value, const char* op, std::int64_t value_two = 0) {
  return Json::object({{"index", index}, {"value", value}, {"valueTwo", value_two}, {"op", op}});
}

Json allow_when(const char* name, Json condition) {
  return Json::object({{"names", Json::array({Json(name)})},
                       {"action", "SCMP_ACT_ALLOW"},
                       {"args", Json::array({std::move(condition)})}});
}

Json allow(std::string_view words) { return Json::object({{"names", names_of(words)}, {"action", "SCMP_ACT_ALLOW"}}); }

}  // namespace

Json default_seccomp_profile(const std::set<std::string>& capabilities) {
  std::vector<Json> rules{allow(always)};
  for (const std::int64_t value : personalities)
    rules.push_back(allow_when("personality", argument(0, value, "SCMP_CMP_EQ")));
  rules.push_back(allow_when("socket", argument(0, address_family_vsock, "SCMP_CMP_NE")));
  for (const Gated& group : gated)
    if (capabilities.contains(std::string(group.capability))) rules.push_back(allow(group.names));
  if (!capabilities.contains("CAP_SYS_ADMIN")) {
    rules.push_back(allow_when("clone", argument(0, namespace_flags, "SCMP_CMP_MASKED_EQ", 0)));
    // Its flags are behind a pointer: "not there" makes the C library fall back to clone.
    rules.push_back(Json::object(
        {{"names", Json::array({Json("clone3")})}, {"action", "SCMP_ACT_ERRNO"}, {"errnoRet", ENOSYS}}));
  }
  return Json::object({{"defaultAction", "SCMP_ACT_ERRNO"},
                       {"defaultErrnoRet", EPERM},
                       {"architectures", Json::array({"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"})},
                       {"syscalls", Json::array(std::move(rules))}});
}

}  // namespace slipway::sandbox
