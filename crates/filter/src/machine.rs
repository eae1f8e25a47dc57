// SPDX-License-Identifier: Apache-2.0
//! Machines: the kernel tells a filter which machine's numbers a call uses (linux/audit.h, AUDIT_ARCH_*).

/// The machine that Gantry is built for.
#[cfg(target_arch = "x86_64")]
pub(crate) const OWN: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
pub(crate) const OWN: u32 = 0xc000_00b7;
/// The machine whose programs its kernel runs as well: i386, arm.
#[cfg(target_arch = "x86_64")]
pub(crate) const OTHER: u32 = 0x4000_0003;
#[cfg(target_arch = "aarch64")]
pub(crate) const OTHER: u32 = 0x4000_0028;
/// Numbers from here on are x32's (asm/unistd.h, __X32_SYSCALL_BIT); other machines have none so high.
pub(crate) const X32: u32 = 0x4000_0000;
