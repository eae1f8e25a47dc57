// SPDX-License-Identifier: Apache-2.0
//! Users and groups: as a manifest names them, and as the numbers found in the image's own files.
//!
//! The files' format is that of passwd(5) and group(5). A number is a name first, if the files have it as one (appc spec,
//! `user`). root is known without files.

use std::fmt;
use std::io;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::path::AbsolutePath;
use crate::text::escape;

/// The longest passwd or group file that is read.
pub const ACCOUNT_FILE_MAX: u64 = 1 << 20;
const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";
/// The user and the group that every system has, 0.
const ROOT: &str = "root";
/// The default shell (passwd(5)).
const SHELL: &str = "/bin/sh";

/// A user or a group as an image manifest names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Account {
    /// A number, as it is written, unless the image's file has a name of this text.
    Number(String, u32),
    /// A name in the image's passwd or group file.
    Name(String),
    /// The owner of this file in the image.
    OwnerOf(AbsolutePath),
}

impl FromStr for Account {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.starts_with('/') {
            return Ok(Self::OwnerOf(text.parse()?));
        }
        let invalid =
            |expected: &str| Error::new(format!("invalid user or group {}: {expected}", escape(text)));
        if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
            let number = text.parse().ok().and_then(usable).filter(|_| text.len() <= 255);
            return number.map(|number| Self::Number(text.to_owned(), number)).ok_or_else(|| {
                invalid("expected a number up to 4294967294, and not 65535, which stands for \"none\"")
            });
        }
        let named = |byte: u8| byte.is_ascii_graphic() && !b":,/".contains(&byte) || byte >= 0x80;
        if text.is_empty() || text.starts_with(['-', '+']) || !text.bytes().all(named) || text.len() > 255 {
            return Err(invalid("expected a name, a number or an absolute path"));
        }
        Ok(Self::Name(text.to_owned()))
    }
}

impl Account {
    /// Returns the name to look for in the image's files.
    fn name(&self) -> Option<&str> {
        match self {
            Self::Number(text, _) | Self::Name(text) => Some(text),
            Self::OwnerOf(_) => None,
        }
    }
}

impl TryFrom<String> for Account {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Account> for String {
    fn from(account: Account) -> Self {
        match account {
            Account::Number(text, _) => text,
            Account::Name(name) => name,
            Account::OwnerOf(path) => path.into(),
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&String::from(self.clone())))
    }
}

/// Tells whether the kernel takes a number as an id: 2^32−1 and its 16-bit ancestor mean "unchanged" to chown(2) and
/// setresuid(2).
pub(crate) fn is_usable(id: u32) -> bool {
    id != u32::MAX && id != u32::from(u16::MAX)
}

fn usable(id: u32) -> Option<u32> {
    is_usable(id).then_some(id)
}

/// The few operations needed on an image's tree. An implementation never leaves that tree.
pub trait ImageRoot {
    /// Reads the file's content, following links inside the root. More than `max` bytes are an error.
    ///
    /// # Errors
    /// Fails with `NotFound` if there is no such file, else with the system's error.
    fn read(&self, path: &AbsolutePath, max: u64) -> io::Result<Vec<u8>>;

    /// Returns the file's owner and group, following links inside the root.
    ///
    /// # Errors
    /// Fails as [`ImageRoot::read`] does.
    fn owner(&self, path: &AbsolutePath) -> io::Result<(u32, u32)>;
}

/// Finds a user's number.
///
/// # Errors
/// Fails if the image does not know the user, or if the user's number is not usable.
pub fn resolve_user(user: &Account, root: &impl ImageRoot) -> Result<u32> {
    resolve(user, root, "user", PASSWD, |(uid, _)| uid)
}

/// Finds a group's number.
///
/// # Errors
/// Fails as [`resolve_user`] does.
pub fn resolve_group(group: &Account, root: &impl ImageRoot) -> Result<u32> {
    resolve(group, root, "group", GROUP, |(_, gid)| gid)
}

/// A user as described in a passwd file (passwd(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Its name.
    pub name: String,
    /// Its home directory.
    pub home: String,
    /// Its shell.
    pub shell: String,
}

/// Finds the app's user, which has this number, in the image's passwd file.
///
/// If the manifest gives a name, that user is looked up, else the first with the number. Without an entry, the home is
/// `/`, and that of `root` is `/root`.
pub fn person(user: &Account, uid: u32, root: &impl ImageRoot) -> Person {
    let path = PASSWD.parse().expect("the account files' paths are valid");
    let content = root.read(&path, ACCOUNT_FILE_MAX).unwrap_or_default();
    let named = user.name().and_then(|name| find(&content, name));
    let (name, found) = match (user, named) {
        (Account::Name(name), entry) => (name.clone(), entry.and_then(|entry| entry.person())),
        (_, Some(entry)) => (String::from_utf8_lossy(entry.name).into_owned(), entry.person()),
        (_, None) => {
            let found = entries(&content).filter(|entry| entry.id == uid).find_map(|entry| entry.person());
            let name = if uid == 0 { ROOT.to_owned() } else { uid.to_string() };
            (name, found)
        }
    };
    let home = if name == ROOT { "/root" } else { "/" };
    found.unwrap_or_else(|| Person { name, home: home.into(), shell: SHELL.into() })
}

/// Finds the groups that the image's files give the app's user: the primary one, and those that list it. `None` if its
/// passwd file doesn't know the user, or gives it a group that is not usable.
pub fn groups_of(user: &Account, uid: u32, root: &impl ImageRoot) -> Option<(u32, Vec<u32>)> {
    let read = |file: &str| {
        let path = file.parse().expect("the account files' paths are valid");
        root.read(&path, ACCOUNT_FILE_MAX).unwrap_or_default()
    };
    let (passwd, group) = (read(PASSWD), read(GROUP));
    let by_name = user.name().and_then(|name| find(&passwd, name));
    let entry = match (user, by_name) {
        (Account::Name(_), entry) | (_, entry @ Some(_)) => entry,
        (_, None) => entries(&passwd).find(|entry| entry.id == uid),
    }?;
    let gid = std::str::from_utf8(entry.rest.first()?).ok()?.parse().ok().and_then(usable)?;
    let lists = |group: &Entry<'_>| {
        let members = group.rest.first().copied().unwrap_or_default();
        members.split(|byte| *byte == b',').any(|member| member == entry.name)
    };
    let mut further: Vec<_> = entries(&group)
        .filter(lists)
        .map(|group| group.id)
        .filter(|id| is_usable(*id) && *id != gid)
        .collect();
    further.sort_unstable();
    further.dedup();
    Some((gid, further))
}

/// A line of an account file.
struct Entry<'a> {
    name: &'a [u8],
    id: u32,
    /// The fields after the number.
    rest: Vec<&'a [u8]>,
}

impl Entry<'_> {
    /// Returns the user, if the line is complete: group, comment, home and shell follow the number.
    fn person(&self) -> Option<Person> {
        let text = |field: &[u8]| {
            let text = std::str::from_utf8(field).ok().filter(|text| !text.contains('\0'))?;
            Some(text.to_owned())
        };
        let or = |text: String, default: &str| if text.is_empty() { default.to_owned() } else { text };
        let name = text(self.name).filter(|name| !name.is_empty())?;
        let home = or(text(self.rest.get(2)?)?, "/");
        let shell = or(self.rest.get(3).map_or(Some(String::new()), |shell| text(shell))?, SHELL);
        Some(Person { name, home, shell })
    }
}

/// Lists the lines that have a name and a number, which are the first and the third field in both passwd(5) and
/// group(5).
fn entries(content: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    content.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        Some(Entry { name, id: std::str::from_utf8(id).ok()?.parse().ok()?, rest: fields.collect() })
    })
}

fn find<'a>(content: &'a [u8], name: &str) -> Option<Entry<'a>> {
    entries(content).find(|entry| entry.name == name.as_bytes())
}

fn resolve(
    account: &Account,
    root: &impl ImageRoot,
    kind: &str,
    file: &str,
    pick: fn((u32, u32)) -> u32,
) -> Result<u32> {
    let failed = |why: String| Error::new(format!("{kind} {account}: {why}"));
    let id = match account {
        Account::Number(text, id) => {
            let path = file.parse().expect("the account files' paths are valid");
            let content = root.read(&path, ACCOUNT_FILE_MAX).unwrap_or_default();
            find(&content, text).map_or(*id, |entry| entry.id)
        }
        Account::OwnerOf(path) => pick(
            root.owner(path).map_err(|error| failed(format!("cannot read the image's {path}: {error}")))?,
        ),
        Account::Name(name) => {
            let path = file.parse().expect("the account files' paths are valid");
            let content = match root.read(&path, ACCOUNT_FILE_MAX) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && name == ROOT => Vec::new(),
                read => read.map_err(|error| failed(format!("cannot read the image's {file}: {error}")))?,
            };
            match find(&content, name) {
                Some(entry) => entry.id,
                None if name == ROOT => 0,
                None => return Err(failed(format!("not found in the image's {file}"))),
            }
        }
    };
    usable(id).ok_or_else(|| failed(format!("has the number {id}, which stands for \"none\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Root;

    impl ImageRoot for Root {
        fn read(&self, path: &AbsolutePath, _: u64) -> io::Result<Vec<u8>> {
            match path.as_str() {
                PASSWD => Ok([
                    &b"root:x:0:0:::\n0day:x:7:8::\nmax:x:4294967295:0::\n9:x:1:1::\nshort:x\n"[..],
                    b"half:x:8:8\ntoor:x:0:0:J\xf6rg:/toor:/bin/tsh\ntoor:x:8:0::/none:/none\n\xff:x:3:3::/x:/x\n",
                    b"third:x:3:3::/third:/bin/3\nbin:x:5:5::/bin:\n",
                ]
                .concat()),
                _ => Err(io::ErrorKind::NotFound.into()),
            }
        }

        fn owner(&self, _: &AbsolutePath) -> io::Result<(u32, u32)> {
            Ok((5, 6))
        }
    }

    #[test]
    fn users_resolve_in_the_image() {
        let user = |text: &str| resolve_user(&text.parse()?, &Root);
        assert_eq!(user("root"), Ok(0));
        assert_eq!(user("0day"), Ok(7));
        assert_eq!((user("9"), user("10")), (Ok(1), Ok(10)), "a number is a name first");
        assert_eq!(user("/bin/x"), Ok(5));
        for bad in [
            "",
            "-1",
            "4294967295",
            "4294967296",
            "65535",
            "nobody",
            "max",
            "short",
            "a:b",
            "a\n",
            "+",
            "a/b",
        ] {
            assert!(user(bad).is_err(), "{bad:?}");
        }
    }

    /// An image with nothing in it.
    struct Bare;

    impl ImageRoot for Bare {
        fn read(&self, _: &AbsolutePath, _: u64) -> io::Result<Vec<u8>> {
            Err(io::ErrorKind::NotFound.into())
        }

        fn owner(&self, _: &AbsolutePath) -> io::Result<(u32, u32)> {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    #[test]
    fn root_is_itself_without_a_passwd_file() {
        for (uid, name, home) in [(0, "root", "/root"), (7, "7", "/")] {
            let found = person(&uid.to_string().parse().unwrap(), uid, &Bare);
            assert_eq!(found, Person { name: name.into(), home: home.into(), shell: SHELL.into() });
        }
    }

    #[test]
    fn people_are_known_by_what_the_manifest_says() {
        for (user, name, home, shell) in [
            ("0", "root", "/", "/bin/sh"),
            ("root", "root", "/", "/bin/sh"),
            ("toor", "toor", "/toor", "/bin/tsh"),
            ("7", "0day", "/", "/bin/sh"),
            ("/bin/x", "bin", "/bin", "/bin/sh"),
            ("3", "third", "/third", "/bin/3"),
            ("half", "half", "/", "/bin/sh"),
            ("8", "toor", "/none", "/none"),
            ("4242", "4242", "/", "/bin/sh"),
            ("9", "9", "/", "/bin/sh"),
        ] {
            let account = user.parse().unwrap();
            let found = person(&account, resolve_user(&account, &Root).unwrap(), &Root);
            assert_eq!(found, Person { name: name.into(), home: home.into(), shell: shell.into() }, "{user}");
        }
    }

    #[test]
    fn root_needs_no_files() {
        struct Nothing;
        impl ImageRoot for Nothing {
            fn read(&self, _: &AbsolutePath, _: u64) -> io::Result<Vec<u8>> {
                Err(io::ErrorKind::NotFound.into())
            }

            fn owner(&self, _: &AbsolutePath) -> io::Result<(u32, u32)> {
                Err(io::ErrorKind::NotFound.into())
            }
        }
        let root: Account = "root".parse().unwrap();
        assert_eq!((resolve_user(&root, &Nothing), resolve_group(&root, &Nothing)), (Ok(0), Ok(0)));
        let expected = Person { name: "root".into(), home: "/root".into(), shell: "/bin/sh".into() };
        assert_eq!(person(&root, 0, &Nothing), expected);
        assert!(resolve_user(&"nobody".parse().unwrap(), &Nothing).is_err());
        // A group file that doesn't know it.
        assert_eq!(resolve_group(&root, &WithGroups), Ok(0));
    }

    #[test]
    fn groups_resolve_in_the_image() {
        let group = |text: &str| resolve_group(&text.parse()?, &Root);
        assert_eq!(group("/bin/x"), Ok(6));
        assert_eq!(
            group("staff").unwrap_err().to_string(),
            "group \"staff\": cannot read the image's /etc/group: entity not found"
        );
    }

    struct WithGroups;

    impl ImageRoot for WithGroups {
        fn read(&self, path: &AbsolutePath, _: u64) -> io::Result<Vec<u8>> {
            Ok(match path.as_str() {
                PASSWD => b"u:x:7:8::/home/u:\nodd:x:9:max::/:\nroot:x:0:0::/root:\n".to_vec(),
                _ => b"a:x:20:u\nb:x:21:other,u\nown:x:8:u\nc:x:22:uu\nd:x:23:\nmax:x:4294967295:u\nagain:x:20:u\n"
                    .to_vec(),
            })
        }

        fn owner(&self, _: &AbsolutePath) -> io::Result<(u32, u32)> {
            Ok((7, 6))
        }
    }

    #[test]
    fn a_users_groups_are_those_of_the_images_files() {
        let groups = |user: &str, uid| groups_of(&user.parse().unwrap(), uid, &WithGroups);
        for user in ["u", "7", "/bin/x"] {
            assert_eq!(groups(user, 7), Some((8, vec![20, 21])), "{user}");
        }
        assert_eq!(groups("root", 0), Some((0, vec![])));
        assert_eq!(groups("4242", 4242), None);
        assert_eq!(groups("odd", 9), None);
    }
}
