//! Who can write a file, by owners and permissions.

use std::{
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::unreadable;
use crate::runtime::Refusal;

const WORLD: u32 = 0o002;
const GROUP: u32 = 0o020;
/// Only the owner of an entry may rename or remove it.
const STICKY: u32 = 0o1000;

/// An error where others than the user of this process and root can write the file, its folder or the
/// folders from there up to `root`, or can put another file in its place by a link or from a folder
/// above.
pub(super) fn check(path: &Path, root: Option<&Path>) -> Result<(), Refusal> {
    let user = user();
    let real = canonical(path)?;
    let real_root = root.map(canonical).transpose()?;
    // As it is spelled, with the links on the way, then where it lies.
    for (path, root) in [(path, root), (real.as_path(), real_root.as_deref())] {
        for (above, place) in path.ancestors().enumerate() {
            if place.as_os_str().is_empty() {
                continue;
            }
            let link = fs::symlink_metadata(place).map_err(|error| unreadable(place, &error))?;
            if link.is_symlink() {
                owned(place, &link, user)?;
            }
            let meta = fs::metadata(place).map_err(|error| unreadable(place, &error))?;
            if above < 2 || root.is_some_and(|root| place.starts_with(root)) {
                owned(place, &meta, user)?;
                // In a folder such as /tmp, others may put files beside ours: not beside this one.
                unwritable(place, &meta, user, above > 1)?;
            } else if meta.mode() & WORLD != 0 && meta.mode() & STICKY == 0 {
                return Err(writable(place, &meta, None));
            }
        }
    }
    Ok(())
}

/// [`check`] for a file that is open, by itself.
pub(super) fn check_file(path: &Path, meta: &Metadata) -> Result<(), Refusal> {
    let user = user();
    owned(path, meta, user)?;
    unwritable(path, meta, user, false)
}

fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn owned(path: &Path, meta: &Metadata, user: u32) -> Result<(), Refusal> {
    if meta.uid() == user || meta.uid() == 0 {
        return Ok(());
    }
    Err(Refusal::Owner { path: path.to_owned(), owner: meta.uid(), user })
}

fn unwritable(path: &Path, meta: &Metadata, user: u32, sticky: bool) -> Result<(), Refusal> {
    let mode = meta.mode();
    if sticky && mode & STICKY != 0 {
        return Ok(());
    }
    if mode & WORLD != 0 {
        return Err(writable(path, meta, None));
    }
    if mode & GROUP != 0 && !is_private(path, meta.gid(), user) {
        return Err(writable(path, meta, Some(meta.gid())));
    }
    Ok(())
}

fn writable(path: &Path, meta: &Metadata, group: Option<u32>) -> Refusal {
    Refusal::Writable { path: path.to_owned(), mode: meta.mode() & 0o7777, group }
}

/// True if a group has no member but the user and root: many systems give each user a group, and let
/// its members write by default. Linux alone has users and groups in two files; elsewhere the answer is
/// no.
fn is_private(path: &Path, group: u32, user: u32) -> bool {
    if !cfg!(target_os = "linux") || has_acl(path) {
        return false;
    }
    let (Ok(groups), Ok(users)) =
        (fs::read_to_string("/etc/group"), fs::read_to_string("/etc/passwd"))
    else {
        return false;
    };
    is_alone(group, user, &groups, &users)
}

/// True if the group is known, and by these files nobody but the user and root is in it.
fn is_alone(group: u32, user: u32, groups: &str, users: &str) -> bool {
    let is = |id: &str, number: u32| id.parse() == Ok(number);
    let mut names = Vec::new();
    for line in users.lines() {
        // Name, password, id, group, …
        let fields: Vec<_> = line.split(':').collect();
        let &[name, _, id, primary, ..] = fields.as_slice() else { continue };
        if is(id, user) || is(id, 0) {
            names.push(name);
        } else if is(primary, group) {
            return false;
        }
    }
    let mut known = false;
    for line in groups.lines() {
        // Name, password, id, members.
        let fields: Vec<_> = line.split(':').collect();
        let &[_, _, id, members] = fields.as_slice() else { continue };
        if is(id, group) {
            known = true;
            let mut members = members.split(',').map(str::trim).filter(|name| !name.is_empty());
            if members.any(|member| !names.contains(&member)) {
                return false;
            }
        }
    }
    known
}

/// True if a list gives rights to single users: the bits of the group are those that it allows at most.
#[cfg(target_os = "linux")]
fn has_acl(path: &Path) -> bool {
    use rustix::io::Errno;

    let list = rustix::fs::getxattr(path, "system.posix_acl_access", &mut [0; 0]);
    // Not there, or not on this file system; whatever else it is counts as there.
    !matches!(list, Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS))
}

#[cfg(not(target_os = "linux"))]
fn has_acl(_path: &Path) -> bool {
    true
}

fn canonical(path: &Path) -> Result<PathBuf, Refusal> {
    fs::canonicalize(path).map_err(|error| unreadable(path, &error))
}

#[cfg(test)]
mod tests {
    use super::is_alone;

    const USERS: &str = "root:x:0:0:root:/root:/bin/sh\nme:x:1000:1000::/:/bin/sh\n\
                         you:x:1001:1001::/:/bin/sh\nthey:x:1002:1001::/:\n";

    #[test]
    fn a_group_is_private_if_nobody_else_is_in_it() {
        let alone = |group, groups: &str| is_alone(group, 1000, groups, USERS);
        assert!(alone(1000, "me:x:1000:\n"));
        assert!(alone(1000, "me:x:1000:me,root\n"));
        assert!(alone(0, "root:x:0:\n"), "root can write everything anyway");
        assert!(!alone(1000, "me:x:1000:you\n"));
        assert!(!alone(1000, "me:x:1000:me\nalias:x:1000:you\n"), "one group by two names");
        assert!(!alone(1000, "me:x:1000:stranger\n"), "somebody whom the files do not know");
        assert!(!alone(1001, "you:x:1001:\n"), "it is that of others");
        assert!(!alone(50, "staff:x:50:me,you\n"));
        assert!(!alone(1000, "you:x:1001:\n"), "the files do not know it");
        assert!(!alone(1000, "me:x:1000\n"), "a line that is cut off");
    }
}
