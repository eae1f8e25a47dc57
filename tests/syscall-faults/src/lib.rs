// SPDX-License-Identifier: Apache-2.0
//! Runs a program under ptrace(2): a test sees each of its system calls that changes something, and may make it fail,
//! kill the program there, or do something meanwhile. With a pod, a test may do something at any call of one of its processes.

pub mod stop;
pub mod trace;
