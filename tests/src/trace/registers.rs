// SPDX-License-Identifier: Apache-2.0
//! A stopped thread's system call, as it is in its registers (syscall(2), "Architecture calling conventions").
//!
//! A call is kept from being executed by giving it arguments that no call takes. Its number can't be changed in the
//! same way on every machine: on arm64 it is no longer in a register then.

use nix::libc::user_regs_struct;
use nix::sys::ptrace::{getregs, setregs};
use nix::unistd::Pid;

/// No descriptor, no address, and flags that don't exist.
const NO_ARGUMENT: u64 = u64::MAX;

/// A stopped thread's registers.
#[derive(Clone, Copy)]
pub(super) struct Registers(user_regs_struct);

impl Registers {
    pub(super) fn read(thread: Pid) -> nix::Result<Self> {
        getregs(thread).map(Self)
    }

    pub(super) fn write(&self, thread: Pid) -> nix::Result<()> {
        setregs(thread, self.0)
    }

    /// The arguments, by their place.
    pub(super) fn arguments(&self) -> [u64; 6] {
        let mut copy = *self;
        copy.arguments_mut().map(|argument| *argument)
    }

    /// The same call with arguments it will refuse.
    pub(super) fn without_effect(&self) -> Self {
        let mut changed = *self;
        changed.arguments_mut().into_iter().for_each(|argument| *argument = NO_ARGUMENT);
        changed
    }
}

#[cfg(target_arch = "x86_64")]
impl Registers {
    /// The call's number, at its entry and its exit.
    pub(super) fn number(&self) -> u64 {
        self.0.orig_rax
    }

    /// What the call came to, at its exit: negative for an error.
    pub(super) fn result(&self) -> i64 {
        self.0.rax.cast_signed()
    }

    pub(super) fn set_result(&mut self, result: i64) {
        self.0.rax = result.cast_unsigned();
    }

    fn arguments_mut(&mut self) -> [&mut u64; 6] {
        let user_regs_struct { rdi, rsi, rdx, r10, r8, r9, .. } = &mut self.0;
        [rdi, rsi, rdx, r10, r8, r9]
    }
}

#[cfg(target_arch = "aarch64")]
impl Registers {
    /// The call's number, at its entry and its exit.
    pub(super) fn number(&self) -> u64 {
        self.0.regs[8]
    }

    /// What the call came to, at its exit: negative for an error.
    pub(super) fn result(&self) -> i64 {
        self.0.regs[0].cast_signed()
    }

    pub(super) fn set_result(&mut self, result: i64) {
        self.0.regs[0] = result.cast_unsigned();
    }

    fn arguments_mut(&mut self) -> [&mut u64; 6] {
        let [a, b, c, d, e, f, ..] = &mut self.0.regs;
        [a, b, c, d, e, f]
    }
}
