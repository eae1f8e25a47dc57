// SPDX-License-Identifier: Apache-2.0
//! libFuzzer's program for [`fuzz::units`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::units::check(data);
});
