// SPDX-License-Identifier: Apache-2.0
//! Runs the launcher of a pod's apps outside of any pod; a test decides when the launcher continues.

use std::fs::File;
use std::io::{IoSlice, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair};
use serde_json::Value;

use crate::init;

/// The place of the pod's root in nspawn's mount namespace.
#[derive(Clone, Copy, Debug)]
pub enum Pods {
    /// Mounted over the root that nspawn was started in, as 252 does.
    Over,
    /// In the place of that root, as newer versions do.
    InPlace,
}

/// A shell script that becomes the launcher. It makes the app's root and the launcher accessible to everybody, and puts
/// a copy of all mounts where nspawn has the pod's root, with a /dev that has what launchers copy. The launcher gets the socket at descriptor 3
/// (sd_listen_fds(3)). The script gets it as stdout, since shells can only name the first ten descriptors.
const BECOME: &str = r#"
set -e
mount -t tmpfs tmpfs /mnt
mkdir /mnt/root /mnt/pod
touch /mnt/launch
mount --bind "$1" /mnt/root
for part in proc sys dev/pts dev/shm dev/mqueue; do mkdir -p /mnt/root/$part; done
mount --bind "$2" /mnt/launch
mount --rbind / /mnt/pod
mount -t tmpfs tmpfs /mnt/pod/dev
mkdir /mnt/pod/dev/pts /mnt/pod/dev/shm /mnt/pod/dev/mqueue
cd /mnt/pod
case $3 in
    Over) mount --move . / ;;
    InPlace) pivot_root . . && umount -l . ;;
esac
caps=+setuid,+setgid,+setpcap,+sys_chroot,+sys_ptrace,+sys_admin
exec chroot . setpriv --bounding-set -all,$caps /mnt/launch 3<&1 1>&2"#;

/// A launcher that waits for its instructions, in the test's own root.
#[derive(Debug)]
pub struct Launcher(Child);

impl Launcher {
    /// The user and group that tests let the app be.
    pub const USER: u32 = 1000;
    /// The path at which the launcher finds the app's root.
    pub const ROOT: &str = "/mnt/root";

    /// Starts a launcher as root with a launcher's capabilities, as systemd would. The app's stdout and
    /// stderr are `output`, its root is `root`.
    ///
    /// # Panics
    /// Panics if it can't be started.
    pub fn start(root: &Path, output: &File) -> Self {
        Self::start_where(Pods::Over, root, output)
    }

    /// Starts a launcher like [`Launcher::start`], with the pod's root at the place that `pods` says.
    ///
    /// # Panics
    /// Panics if it can't be started.
    pub fn start_where(pods: Pods, root: &Path, output: &File) -> Self {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::Datagram, None, SockFlag::SOCK_CLOEXEC)
                .expect("sockets can be made");
        let null = File::open("/dev/null").expect("/dev/null can be opened");
        let rights = [null.as_raw_fd(), output.as_raw_fd(), output.as_raw_fd()];
        let message = [ControlMessage::ScmRights(&rights)];
        sendmsg::<()>(ours.as_raw_fd(), &[IoSlice::new(b"0")], &message, MsgFlags::empty(), None)
            .expect("descriptors can be sent");
        Self(spawn(pods, root, theirs))
    }

    /// Returns the launcher's process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Tells the launcher what to start, and returns its exit code.
    ///
    /// # Panics
    /// Panics if the launcher can't be waited for.
    pub fn launch(mut self, launch: &Value) -> Option<i32> {
        let mut stdin = self.0.stdin.take().expect("stdin is piped");
        stdin.write_all(launch.to_string().as_bytes()).expect("the launcher reads");
        drop(stdin);
        self.0.wait().expect("the launcher can be waited for").code()
    }
}

impl Drop for Launcher {
    /// A launcher without instructions ends when its stdin closes.
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn spawn(pods: Pods, root: &Path, socket: OwnedFd) -> Child {
    Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c"])
        .arg(BECOME)
        .args(["sh".as_ref(), root.as_os_str(), init().as_os_str()])
        .arg(format!("{pods:?}"))
        .stdin(Stdio::piped())
        .stdout(socket)
        .spawn()
        .expect("unshare can be executed")
}
