//! A bound on the memory that an input may ask for.
//!
//! Sizes come from files and texts: the tokens of a line, the widths of a configuration, the sides of an image. Whoever
//! allocates by such a size asks [`Limits`] before, so that an absurd one is an error instead of the end of the process.

use std::fmt;

use crate::{Error, Result, format};

/// Memory that one allocation, or one piece of work, may take for what its input asks for.
///
/// The default is half of the memory that the machine has free: `/proc/meminfo` on Linux, less where the process has a
/// limit of its own. Elsewhere, and in a browser, it is [`Limits::UNKNOWN_MACHINE`].
///
/// ```
/// use attn_core::Limits;
///
/// let limits = Limits::of(1 << 30);
/// limits.check("the scores of line 3", Limits::size(&[12, 512, 512], 4))?;
/// let error = limits.check("the scores of line 3", Limits::size(&[12, 24_000, 24_000], 4)).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "the scores of line 3: takes 25.7 GiB of memory, at most 1.00 GiB is allowed"
/// );
/// # Ok::<(), attn_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes.
    pub bytes: u64,
}

impl Limits {
    /// Allows everything: whatever does not fit is then up to the operating system.
    pub const NONE: Self = Self { bytes: u64::MAX };

    /// The default where the memory of the machine is not known: 2 GiB, half of what a browser gives a page.
    pub const UNKNOWN_MACHINE: Self = Self { bytes: 2 << 30 };

    /// A bound of so many bytes.
    pub fn of(bytes: u64) -> Self {
        Self { bytes }
    }

    /// Bytes of an array with these sides, of elements of `each` bytes; [`u64::MAX`] where no `u64` holds it.
    pub fn size(sides: &[usize], each: usize) -> u64 {
        let sides = sides.iter().map(|&side| side as u64);
        // A side of 0 makes nothing of the largest others.
        if sides.clone().any(|side| side == 0) {
            return 0;
        }
        sides.fold(each as u64, u64::saturating_mul)
    }

    /// Refuses what takes more than is allowed. `what` names it and its place: the line, the layer, the option.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn check(self, what: impl fmt::Display, needed: u64) -> Result<()> {
        if needed <= self.bytes {
            return Ok(());
        }
        Err(Error::Memory {
            what: what.to_string(),
            needed,
            allowed: self.bytes,
        })
    }

    /// Refuses an array of `T` with these sides that takes more than is allowed, and counts its elements.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn elements<T>(self, what: impl fmt::Display, sides: &[usize]) -> Result<usize> {
        let needed = Self::size(sides, size_of::<T>().max(1));
        self.check(&what, needed)?;
        // More than the address space holds, whatever is allowed.
        match isize::try_from(needed) {
            // Sides beside one of 0 may be of any size.
            Ok(0) => Ok(0),
            Ok(_) => Ok(sides.iter().product()),
            Err(_) => Err(Error::Memory {
                what: what.to_string(),
                needed,
                allowed: self.bytes.min(isize::MAX as u64),
            }),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        free().map_or(Self::UNKNOWN_MACHINE, |bytes| Self { bytes: bytes / 2 })
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format::bytes(self.bytes))
    }
}

/// Bytes that this process may still take, where the system tells.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn free() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = available(&read("/proc/meminfo")?)?;
    let taken = read("/proc/self/status").and_then(|text| kibibytes(&text, "VmSize:"));
    let process = read("/proc/self/limits").and_then(|text| address_space(&text));
    let process = process.map(|limit| limit.saturating_sub(taken.unwrap_or(0)));
    // A group without a limit says so in a word or in a number beyond any memory.
    let groups = groups(&read("/proc/self/cgroup").unwrap_or_default());
    let left = groups.iter().filter_map(|path| {
        let limit = read(path)?.trim().parse::<u64>().ok()?;
        let [used, statistics] = beside(path).map(|path| read(&path).unwrap_or_default());
        Some(limit.saturating_sub(in_use(&used, &statistics)))
    });
    process.into_iter().chain(left).fold(machine, u64::min).into()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn free() -> Option<u64> {
    None
}

/// `MemAvailable` of `/proc/meminfo`.
#[cfg(any(target_os = "linux", target_os = "android", test))]
fn available(meminfo: &str) -> Option<u64> {
    kibibytes(meminfo, "MemAvailable:")
}

/// The bytes of a line `name 12 kB`.
#[cfg(any(target_os = "linux", target_os = "android", test))]
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The files beside the limit of a group that say how much it uses, and of what.
#[cfg(any(target_os = "linux", target_os = "android", test))]
fn beside(limit: &str) -> [String; 2] {
    let (folder, name) = limit.rsplit_once('/').unwrap_or(("", limit));
    let used = match name {
        "memory.max" => "memory.current",
        _ => "memory.usage_in_bytes",
    };
    [used, "memory.stat"].map(|name| format!("{folder}/{name}"))
}

/// What a group uses, but for pages of files that were not read lately: the system takes these back.
#[cfg(any(target_os = "linux", target_os = "android", test))]
fn in_use(used: &str, statistics: &str) -> u64 {
    let used: u64 = used.trim().parse().unwrap_or(0);
    // Version 1 counts the groups within under a name of its own.
    let of = |name: &str| {
        let mut lines = statistics.lines();
        lines.find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
    };
    used.saturating_sub(of("total_inactive_file ").or_else(|| of("inactive_file ")).unwrap_or(0))
}

/// Files with the limits of the control groups of `/proc/self/cgroup` and of the groups around them, of version 2 and 1. Inside
/// of a container the path may be that outside of it; then only the outermost file is there.
#[cfg(any(target_os = "linux", target_os = "android", test))]
fn groups(cgroup: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in cgroup.lines().chain(["0::/", "0:memory:/"]) {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (root, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        for group in std::path::Path::new(path).ancestors() {
            let group = group.to_string_lossy();
            let file = format!("{root}{}/{name}", group.trim_end_matches('/'));
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }
    files
}

/// The soft limit of the address space of `/proc/self/limits`; `None` without one.
#[cfg(any(target_os = "linux", target_os = "android", test))]
fn address_space(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_named_with_both_sizes() {
        let limits = Limits::of(1000);
        assert!(limits.check("x", 1000).is_ok());
        let Err(Error::Memory { what, needed, allowed }) = limits.check(format_args!("line {}", 3), 1001) else {
            panic!("refused");
        };
        assert_eq!((what.as_str(), needed, allowed), ("line 3", 1001, 1000));
    }

    #[test]
    fn sizes_that_no_number_holds_are_refused() {
        assert_eq!(Limits::size(&[3, 5, 7], 4), 420);
        assert_eq!(Limits::size(&[usize::MAX, 2], 4), u64::MAX);
        assert_eq!(Limits::size(&[usize::MAX, usize::MAX, 0], 4), 0);
        assert_eq!(Limits::of(420).elements::<f32>("x", &[3, 5, 7]).unwrap(), 105);
        assert!(Limits::of(419).elements::<f32>("x", &[3, 5, 7]).is_err());
        let sides = [usize::MAX, usize::MAX, 0];
        assert_eq!(Limits::of(0).elements::<f32>("x", &sides).unwrap(), 0);
        // Without a limit too: no array is larger than the address space.
        assert!(Limits::NONE.elements::<f32>("x", &[1 << 31, 1 << 31]).is_err());
        assert!(Limits::NONE.elements::<f32>("x", &[usize::MAX, usize::MAX]).is_err());
    }

    #[test]
    fn groups_are_asked_with_those_around_them() {
        let found = groups("12:cpu,memory:/a\n3:pids:/x\n0::/user.slice/job.scope\n");
        let expected = [
            "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/user.slice/job.scope/memory.max",
            "/sys/fs/cgroup/user.slice/memory.max",
            "/sys/fs/cgroup/memory.max",
        ];
        assert_eq!(found, expected);
        assert_eq!(groups("").len(), 2);
        assert_eq!(
            beside(expected[0]),
            [
                "/sys/fs/cgroup/memory/a/memory.usage_in_bytes",
                "/sys/fs/cgroup/memory/a/memory.stat"
            ]
        );
        assert_eq!(beside(expected[4])[0], "/sys/fs/cgroup/memory.current");
    }

    #[test]
    fn what_a_group_uses_is_not_there_any_more() {
        assert_eq!(in_use("3500\n", "anon 100\ninactive_file 500\nactive_file 9\n"), 3000);
        assert_eq!(in_use("3500\n", "inactive_file 500\ntotal_inactive_file 700\n"), 2800);
        assert_eq!(
            (
                in_use("3500", ""),
                in_use("", "inactive_file 5"),
                in_use("4", "inactive_file 5")
            ),
            (3500, 0, 0)
        );
        assert_eq!(
            kibibytes("VmPeak: 9 kB\nVmSize:\t    12 kB\n", "VmSize:"),
            Some(12 * 1024)
        );
    }

    #[test]
    fn the_machine_is_asked() {
        let text = "MemTotal:       24683656 kB\nMemFree:  1 kB\nMemAvailable:   22887328 kB\n";
        assert_eq!(available(text), Some(22_887_328 * 1024));
        assert_eq!(available("MemTotal: 3 kB"), None);
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max address space         6442450944           unlimited            bytes     \n";
        assert_eq!(address_space(limits), Some(6 << 30));
        assert_eq!(address_space(&limits.replace("6442450944", "unlimited ")), None);
        let limits = Limits::default();
        assert!(limits.bytes > 1 << 20 && limits.bytes < 1 << 50, "{limits}");
    }
}
