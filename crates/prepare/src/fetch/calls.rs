// SPDX-License-Identifier: Apache-2.0
//! The system calls that fetching needs. All others are refused with EPERM: nothing is executed, written to a file, or done
//! to another process.

use anyhow::Result;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};
use store::unpacker::MEMORY_AND_THREADS;
use syscalls::Sysno;

/// linux/sched.h, `CLONE_THREAD`.
const CLONE_THREAD: u64 = 0x1_0000;
/// linux/prctl.h, `PR_SET_NAME`.
const PR_SET_NAME: u64 = 15;
/// asm-generic/ioctls.h, `FIONBIO`.
const FIONBIO: u64 = 0x5421;
/// fcntl.h: `O_WRONLY`, `O_RDWR`, `O_CREAT`, `O_TRUNC`, and the bit that is `O_TMPFILE` alone.
const WRITES: u64 = 0x1 | 0x2 | 0x40 | 0x200 | 0x40_0000;
/// fcntl.h: `F_GETFD`, `F_SETFD`, `F_GETFL`, `F_SETFL`, `F_DUPFD_CLOEXEC`.
const OF_DESCRIPTORS: [u64; 5] = [1, 2, 3, 4, 1030];
/// sys/socket.h: `AF_INET`, `AF_INET6`.
const INTERNET: [u64; 2] = [2, 10];

/// The further calls that are permitted with any arguments.
const PERMITTED: &[Sysno] = &[
    // Streams and sockets.
    Sysno::read,
    Sysno::readv,
    Sysno::write,
    Sysno::writev,
    Sysno::close,
    Sysno::lseek,
    Sysno::connect,
    Sysno::bind,
    Sysno::getsockname,
    Sysno::getpeername,
    Sysno::getsockopt,
    Sysno::setsockopt,
    Sysno::sendto,
    Sysno::sendmsg,
    Sysno::recvfrom,
    Sysno::recvmsg,
    Sysno::shutdown,
    Sysno::ppoll,
    // Files of the host's that anybody may read: names and certificates.
    Sysno::fstat,
    Sysno::newfstatat,
    Sysno::statx,
    Sysno::getdents64,
    // musl calls these although newer ones exist.
    #[cfg(target_arch = "x86_64")]
    Sysno::poll,
    #[cfg(target_arch = "x86_64")]
    Sysno::stat,
];

/// Restricts this process, which must have one thread, to the permitted calls.
pub(super) fn permit_only_what_fetching_takes() -> Result<()> {
    Ok(apply_filter(&filter()?)?)
}

fn filter() -> Result<BpfProgram> {
    let number = |call: Sysno| i64::from(call.id());
    let permitted = PERMITTED.iter().chain(MEMORY_AND_THREADS).map(|call| (number(*call), Vec::new()));
    let any = |index, values: &[u64]| -> Result<Vec<SeccompRule>> {
        values.iter().map(|value| argument(SeccompCmpOp::Eq, index, *value)).collect()
    };
    let reads =
        |index| -> Result<Vec<SeccompRule>> { Ok(vec![argument(SeccompCmpOp::MaskedEq(WRITES), index, 0)?]) };
    let mut rules: std::collections::BTreeMap<i64, Vec<SeccompRule>> = permitted.collect();
    // New threads only: no new process.
    rules
        .insert(number(Sysno::clone), vec![argument(SeccompCmpOp::MaskedEq(CLONE_THREAD), 0, CLONE_THREAD)?]);
    rules.insert(number(Sysno::prctl), any(0, &[PR_SET_NAME])?);
    rules.insert(number(Sysno::fcntl), any(1, &OF_DESCRIPTORS)?);
    rules.insert(number(Sysno::ioctl), any(1, &[FIONBIO])?);
    rules.insert(number(Sysno::socket), any(0, &INTERNET)?);
    rules.insert(number(Sysno::openat), reads(2)?);
    #[cfg(target_arch = "x86_64")]
    rules.insert(number(Sysno::open), reads(1)?);
    let refused = SeccompAction::Errno(rustix::io::Errno::PERM.raw_os_error().unsigned_abs());
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    Ok(SeccompFilter::new(rules, refused, SeccompAction::Allow, arch)?.try_into()?)
}

/// Makes a rule that matches calls whose argument `index` compares with `value` as `is` says.
fn argument(is: SeccompCmpOp, index: u8, value: u64) -> Result<SeccompRule> {
    Ok(SeccompRule::new(vec![SeccompCondition::new(index, SeccompCmpArgLen::Dword, is, value)?])?)
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixDatagram;
    use std::process::Command;

    use rustix::process::{getpid, test_kill_process};

    use super::*;

    #[test]
    fn nothing_but_the_network_is_reached() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // A filter applies to its thread alone.
        let thread = std::thread::spawn(move || {
            rustix::thread::set_no_new_privs(true).unwrap();
            permit_only_what_fetching_takes().unwrap();
            assert!(TcpStream::connect(address).is_ok());
            assert!(File::open("/proc/self/status").is_ok(), "anybody may read it");
            assert!(OpenOptions::new().append(true).open("/dev/null").is_err());
            assert!(File::create("/dev/null").is_err());
            assert!(UnixDatagram::unbound().is_err());
            assert!(TcpListener::bind("127.0.0.1:0").is_err(), "it serves nobody");
            assert_eq!(test_kill_process(getpid()), Err(rustix::io::Errno::PERM));
            assert!(Command::new("/proc/self/exe").spawn().is_err());
            std::thread::Builder::new().name("named".into()).spawn(|| 7).unwrap().join().unwrap()
        });
        assert_eq!(thread.join().unwrap(), 7);
    }
}
