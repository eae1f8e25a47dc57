// SPDX-License-Identifier: Apache-2.0
//! A worker that decompresses a file, and does nothing else with it: an archive of images is read by the offsets of its
//! members, so all of it has to be there, uncompressed.
//!
//! ```text
//! installer ── stdin: the file ── stdout: what is in it ── stderr: one message ── cwd: an empty directory ──► worker
//! ```

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use super::child::own;
use super::confine;
use super::job::{Job, Order};
use super::parent::{self, Descriptors};
use crate::error::{About as _, Result};
use crate::extract::Expected;
use crate::fault::{self, Within as _};
use crate::info::TreeKind;
use archive::decode::decode;
use archive::{Exceeded, Limits};
use sys::Interrupt;
use sys::process::PROGRAM;

/// The name (`argv[0]`) under which this program acts as a worker that decompresses.
pub(super) const NAME: &str = "gantry-decompress";
const BUFFER: usize = 256 << 10;

/// Decompresses `source` into the empty file `into`, in a worker whose root is the empty
/// directory `root`.
///
/// On an error, what was written so far remains.
///
/// # Errors
/// If it is not compressed in a known format, is malformed, or has more bytes in it than `limits` allow; if the worker
/// can't be confined, or dies.
pub(crate) fn decompress(
    limits: Limits,
    source: &File,
    into: &File,
    root: &OwnedFd,
    interrupt: &Interrupt,
) -> Result<()> {
    let mut rewound = source;
    rewound.rewind().about(|| "cannot rewind")?;
    let (message, result) = io::pipe().about(|| "cannot make a pipe")?;
    let own = |file: &File| file.try_clone().about(|| "cannot duplicate a descriptor");
    let descriptors = Descriptors {
        archive: own(source)?.into(),
        record: own(into)?.into(),
        result: result.into(),
        root: root.as_fd(),
    };
    let job = Job { expected: Expected::Anything, with_sha512: false, limits };
    let child = parent::start(Path::new(PROGRAM), NAME, TreeKind::Image, &job, descriptors)?;
    parent::supervise(child, message, &|| (), interrupt)
}

/// The code that runs in the worker.
pub(super) fn work(order: &[u8]) -> fault::Result<()> {
    let order: Order = serde_json::from_slice(order)
        .map_err(io::Error::from)
        .within(|| "cannot understand what a worker is to do")?;
    confine::enter(&order).within(|| "cannot confine the unpacking process")?;
    let limits = order.job.limits;
    let (_, mut decoded) = decode(File::from(own(io::stdin())?), limits.decoder_memory)?;
    let mut into = File::from(own(io::stdout())?);
    let (mut left, mut buffer) = (limits.bytes, vec![0; BUFFER]);
    loop {
        let count = decoded.decode(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let taken = usize::try_from(left).map_or(count, |left| left.min(count));
        into.write_all(&buffer[..taken]).within(|| "cannot write what is in it")?;
        left -= taken as u64;
        if taken < count {
            let why = format!("more than {} bytes are in it: expected at most as many", limits.bytes);
            return Err(Exceeded::raised_by("--max-bytes", why).into());
        }
    }
}
