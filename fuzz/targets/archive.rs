// SPDX-License-Identifier: Apache-2.0
//! libFuzzer's program for [`fuzz::archive`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::archive::check(data);
});
