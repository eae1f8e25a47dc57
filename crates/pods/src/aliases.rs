// SPDX-License-Identifier: Apache-2.0
//! Names of pods for each other: the hosts files of running pods that have aliases list all such pods of DIR.
//!
//! There is no daemon and no list. A pod's attendant refreshes all pods' files before the pod's apps start, and when
//! the pod has ended. If it is killed, the next refresh, or `gc`, does the work. The entries are those of the pods that
//! run at that moment, with the addresses that the kernel has for them. So a name outlives its pod only until the next
//! refresh. No process has the address meanwhile, unless another pod has got it; that one refreshes the files if it has
//! an alias itself.
//!
//! Each file is in its pod's stage1. Its inode stays: apps have a mount of it. So it is written in place, from the first
//! line that changes on. The mount is of the file in the pod directory, also where stage1 is an overlay
//! (`stage1-init/src/enter/roots.rs`).

use std::fs::File;
use std::io::Read as _;
use std::net::IpAddr;
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result};
use pod::id::PodId;
use pod::layout;
use pod::network::HostName;
use rustix::fs::{FlockOperation, OFlags, flock};
use store::DataDir;
use sys::locks;

use crate::contents::Contents;
use crate::directory::{Pod, ids};
use crate::network::{addresses, forwards_v6};
use crate::state::look;

/// The line that begins the part of the file that is written here.
const MARK: &str = "# Pods of this host, by their aliases.\n";
/// The most bytes that are read of a hosts file.
const LENGTH_MAX: u64 = 1 << 20;

/// A running pod with aliases.
struct Member {
    pod: Pod,
    contents: Contents,
    addresses: Vec<IpAddr>,
}

/// Lists the pods with aliases in the hosts files of each of them, and of one that is about to start its apps.
///
/// # Errors
/// If the pods can't be listed, or the file of the one that starts can't be written. Another pod that can't be looked at, or
/// whose file can't be written, is left out.
pub fn refresh(data_dir: &DataDir, starting: Option<PodId>) -> Result<()> {
    // One process at a time, so that the latest list is written last.
    locks::alone(&data_dir.containers, &data_dir.interrupt).context("cannot lock the pods' names")?;
    let refreshed = refresh_locked(data_dir, starting);
    flock(&data_dir.containers, FlockOperation::Unlock).context("cannot unlock the pods' names")?;
    refreshed
}

fn refresh_locked(data_dir: &DataDir, starting: Option<PodId>) -> Result<()> {
    let mut members = Vec::new();
    for id in ids(data_dir)? {
        data_dir.interrupt.check()?;
        let pod = Pod::open(data_dir, id).ok().flatten();
        members.extend(pod.and_then(|pod| member(pod).ok().flatten()));
    }
    let v6 = forwards_v6();
    let mut list = String::new();
    for Member { contents, addresses, .. } in &members {
        for address in addresses.iter().filter(|address| v6 || address.is_ipv4()) {
            let names: Vec<_> = contents.network.aliases.iter().map(HostName::to_string).collect();
            list += &format!("{address} {}\n", names.join(" "));
        }
    }
    for Member { pod, contents, .. } in &members {
        let of_apps = contents.apps.iter().map(|app| layout::own_hosts(&app.name));
        for path in of_apps.chain([layout::HOSTS.to_owned()]) {
            let path = format!("{}/{path}", layout::STAGE1);
            match write(pod, &path, &list) {
                Err(error) if starting == Some(pod.id()) => {
                    return Err(error.context(format!("cannot write the names of other pods to {path}")));
                }
                // Another pod, which may have ended meanwhile, keeps the names that it has.
                _ => {}
            }
        }
    }
    Ok(())
}

/// Returns a pod as a member if it runs and has aliases and addresses.
fn member(pod: Pod) -> Result<Option<Member>> {
    let contents = pod.contents()?;
    if contents.network.aliases.is_empty() {
        return Ok(None);
    }
    let Some(process) = look(&pod)?.process else { return Ok(None) };
    let addresses = addresses(pod.id(), &process)?;
    Ok((!addresses.is_empty()).then_some(Member { pod, contents, addresses }))
}

/// Writes a list to the end of a hosts file, if there is one, in place of the one that is there.
fn write(pod: &Pod, path: &str, list: &str) -> Result<()> {
    let Some(file) = pod.open_file(path, OFlags::RDWR)? else { return Ok(()) };
    let file = File::from(file);
    let mut text = String::new();
    (&file).take(LENGTH_MAX).read_to_string(&mut text)?;
    let whole = with_list(&text, list);
    if text == whole {
        return Ok(());
    }
    // It is cut first: a name that is missing for a moment is better than the rest of another line.
    let begin = common_lines(&text, &whole);
    file.set_len(begin as u64)?;
    Ok(file.write_all_at(&whole.as_bytes()[begin..], begin as u64)?)
}

/// Returns the length of the lines with which both texts begin.
fn common_lines(one: &str, other: &str) -> usize {
    let lines = one.split_inclusive('\n').zip(other.split_inclusive('\n'));
    lines.take_while(|(one, other)| one == other && one.ends_with('\n')).map(|(line, _)| line.len()).sum()
}

/// Returns a hosts file with this list.
fn with_list(text: &str, list: &str) -> String {
    let own = text.find(MARK).map_or(text, |begin| &text[..begin]);
    let newline = if own.is_empty() || own.ends_with('\n') { "" } else { "\n" };
    format!("{own}{newline}{MARK}{list}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_takes_the_place_of_the_last_one() {
        let own = "127.0.0.1 localhost\n10.177.0.9 gantry-1\n";
        let one = with_list(own, "10.177.0.9 web\n10.177.0.10 db\n");
        assert_eq!(one, format!("{own}{MARK}10.177.0.9 web\n10.177.0.10 db\n"));
        assert_eq!(with_list(&one, "10.177.0.9 web\n"), format!("{own}{MARK}10.177.0.9 web\n"));
        assert_eq!(with_list("127.0.0.1 localhost", ""), format!("127.0.0.1 localhost\n{MARK}"));
        assert_eq!(common_lines("a\nb1\n", "a\nb2\n"), 2);
        assert_eq!(common_lines("a\nb", "a\nb\n"), 2);
    }
}
