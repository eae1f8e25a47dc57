// SPDX-License-Identifier: Apache-2.0
//! Extended attributes of open files (xattr(7)), read whole.
//!
//! [`list`] and [`get`] take a file that is open for reading. [`Named`] is for a descriptor that only names an object
//! (`O_PATH`), for which the kernel has no such calls: it is reached through /proc.

use std::os::fd::AsFd;

use rustix::fs::{
    XattrFlags, fgetxattr, flistxattr, flistxattr_query, fremovexattr, fsetxattr, getxattr, listxattr,
};
use rustix::io::{Errno, Result};

use crate::open::proc_path;

/// The maximum length of a list of attribute names, and of a value (linux/limits.h).
const XATTR_MAX: usize = 64 << 10;

/// Returns the names of a file's attributes; none where the file system has no attributes.
///
/// # Errors
/// Returns the system's error.
pub fn list(file: impl AsFd) -> Result<Vec<Vec<u8>>> {
    // Most files have none, and asking for the length takes no memory.
    match flistxattr_query(&file) {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        length => length?,
    };
    whole(|into| flistxattr(&file, into)).map(|names| split(&names))
}

/// Returns the value of an attribute; `None` if the file does not have it.
///
/// # Errors
/// Returns the system's error.
pub fn get(file: impl AsFd, name: &[u8]) -> Result<Option<Vec<u8>>> {
    if_there(whole(|into| fgetxattr(&file, name, into)))
}

/// Sets an attribute, whether or not the file has it.
///
/// # Errors
/// Returns the system's error.
pub fn set(file: impl AsFd, name: &[u8], value: &[u8]) -> Result<()> {
    fsetxattr(file, name, value, XattrFlags::empty())
}

/// Removes an attribute, if the file has it.
///
/// # Errors
/// Returns the system's error.
pub fn remove(file: impl AsFd, name: &[u8]) -> Result<()> {
    match fremovexattr(file, name) {
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        done => done,
    }
}

/// An object that a descriptor only names.
#[derive(Debug)]
pub struct Named(String);

impl Named {
    /// Takes the object that `object` names. The value is of use as long as the descriptor is open.
    pub fn new(object: impl AsFd) -> Self {
        Self(proc_path(object))
    }

    /// Lists the object's attributes, as the function [`list`] does for an open file.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn list(&self) -> Result<Vec<Vec<u8>>> {
        match whole(|into| listxattr(&*self.0, into)) {
            Err(Errno::OPNOTSUPP) => Ok(Vec::new()),
            names => names.map(|names| split(&names)),
        }
    }

    /// Does the same as [`get`].
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn get(&self, name: &[u8]) -> Result<Option<Vec<u8>>> {
        if_there(whole(|into| getxattr(&*self.0, name, into)))
    }
}

fn whole(read: impl FnOnce(&mut [u8]) -> Result<usize>) -> Result<Vec<u8>> {
    let mut bytes = vec![0; XATTR_MAX];
    let length = read(&mut bytes)?;
    bytes.truncate(length);
    Ok(bytes)
}

fn if_there(value: Result<Vec<u8>>) -> Result<Option<Vec<u8>>> {
    match value {
        Err(Errno::NODATA) => Ok(None),
        value => value.map(Some),
    }
}

/// Splits a list in the format of listxattr(2).
fn split(names: &[u8]) -> Vec<Vec<u8>> {
    names.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect()
}
