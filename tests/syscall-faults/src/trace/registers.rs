// SPDX-License-Identifier: Apache-2.0
//! A stopped thread's system call, read from its registers (syscall(2), "Architecture calling conventions").
//!
//! To keep a call from being executed, it is given arguments that no call accepts. Changing its number instead doesn't
//! work the same way on every machine: on arm64 the number is no longer in a register at that point.

use nix::libc::user_regs_struct;
use nix::sys::ptrace::{getregs, setregs};
use nix::unistd::Pid;

/// An argument that is no descriptor, no address and no set of existing flags.
const NO_ARGUMENT: u64 = u64::MAX;

/// A stopped thread's registers.
#[derive(Clone, Copy)]
pub(crate) struct Registers(user_regs_struct);

impl Registers {
    pub(crate) fn read(thread: Pid) -> nix::Result<Self> {
        getregs(thread).map(Self)
    }

    pub(crate) fn write(&self, thread: Pid) -> nix::Result<()> {
        setregs(thread, self.0)
    }

    /// Returns the arguments, in order.
    pub(crate) fn arguments(&self) -> [u64; 6] {
        let mut copy = *self;
        copy.arguments_mut().map(|argument| *argument)
    }

    /// Returns the same call with arguments that it refuses.
    pub(crate) fn without_effect(&self) -> Self {
        let mut changed = *self;
        changed.arguments_mut().into_iter().for_each(|argument| *argument = NO_ARGUMENT);
        changed
    }
}

#[cfg(target_arch = "x86_64")]
impl Registers {
    /// Returns the call's number, at its entry and its exit.
    pub(crate) fn number(&self) -> u64 {
        self.0.orig_rax
    }

    /// Returns the call's result at its exit: negative for an error.
    pub(crate) fn result(&self) -> i64 {
        self.0.rax.cast_signed()
    }

    pub(crate) fn set_result(&mut self, result: i64) {
        self.0.rax = result.cast_unsigned();
    }

    fn arguments_mut(&mut self) -> [&mut u64; 6] {
        let user_regs_struct { rdi, rsi, rdx, r10, r8, r9, .. } = &mut self.0;
        [rdi, rsi, rdx, r10, r8, r9]
    }
}

#[cfg(target_arch = "aarch64")]
impl Registers {
    /// Returns the call's number, at its entry and its exit.
    pub(crate) fn number(&self) -> u64 {
        self.0.regs[8]
    }

    /// Returns the call's result at its exit: negative for an error.
    pub(crate) fn result(&self) -> i64 {
        self.0.regs[0].cast_signed()
    }

    pub(crate) fn set_result(&mut self, result: i64) {
        self.0.regs[0] = result.cast_unsigned();
    }

    fn arguments_mut(&mut self) -> [&mut u64; 6] {
        let [a, b, c, d, e, f, ..] = &mut self.0.regs;
        [a, b, c, d, e, f]
    }
}
