// SPDX-License-Identifier: Apache-2.0
//! Hands descriptors over to a worker that is started afterwards: in a socket that is its stdin (unix(7), `SCM_RIGHTS`).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Result;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socketpair};
use sys::passing::{self, DESCRIPTORS_MAX};

/// Returns a socket that has all these descriptors in it, and then its end.
pub(super) fn send(files: &[BorrowedFd<'_>]) -> Result<OwnedFd> {
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    for some in files.chunks(DESCRIPTORS_MAX) {
        // Messages wait in the socket. It would take many thousand descriptors to fill it, which is an error.
        passing::send(&ours, b"f", some, SendFlags::empty())?;
    }
    Ok(theirs)
}

/// Receives all descriptors that are in the socket, up to its end.
pub(super) fn receive(socket: impl AsFd) -> Result<Vec<OwnedFd>> {
    let mut files = Vec::new();
    loop {
        let received = passing::receive(&socket, &mut [0], DESCRIPTORS_MAX, RecvFlags::empty())?;
        files.extend(received.descriptors);
        if received.bytes == 0 {
            return Ok(files);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn all_descriptors_arrive_in_order() {
        for count in [0, 1, DESCRIPTORS_MAX, DESCRIPTORS_MAX + 1, 400] {
            let files: Vec<_> = (0..count.min(3)).map(|_| tempfile::tempfile().unwrap()).collect();
            let sent: Vec<_> = (0..count).map(|number| files[number % files.len()].as_fd()).collect();
            let received = receive(send(&sent).unwrap()).unwrap();
            let inode = |file: &OwnedFd| File::from(file.try_clone().unwrap()).metadata().unwrap().ino();
            let expected = |number: usize| files[number % files.len()].metadata().unwrap().ino();
            assert_eq!(received.len(), count);
            assert!(
                received.iter().enumerate().all(|(number, file)| inode(file) == expected(number)),
                "{count}"
            );
        }
    }
}
