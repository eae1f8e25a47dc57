// SPDX-License-Identifier: Apache-2.0
//! libFuzzer's program for [`fuzz::manifests`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::manifests::check(data);
});
