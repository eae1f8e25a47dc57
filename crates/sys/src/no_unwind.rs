// SPDX-License-Identifier: Apache-2.0
//! The functions that Rust's runtime needs from an unwinder, without an unwinder.
//!
//! A program that aborts where it would panic, and has no unwind tables, has no use for libunwind's 50 kB. A panic's
//! message is printed all the same.
//!
//! The linker takes these functions in place of the library's. They come by a macro, so that only a program that asks
//! for them has them: a feature of this crate would reach every program that is built along with that one.

/// Defines the functions in a program's own crate. Their signatures are those of the Itanium C++ ABI's level 1.
///
/// Defines nothing in builds in which panics unwind, such as tests: they need a real unwinder.
#[macro_export]
macro_rules! no_unwind {
    () => {
        #[cfg(panic = "abort")]
        mod no_unwind {
            use ::std::ffi::{c_int, c_void};
            use ::std::process::abort;

            type Context = *mut c_void;

            /// `_URC_END_OF_STACK`.
            const END_OF_STACK: c_int = 5;

            #[unsafe(no_mangle)]
            extern "C" fn _Unwind_Backtrace(_: *const c_void, _: *mut c_void) -> c_int {
                END_OF_STACK
            }

            #[unsafe(no_mangle)]
            extern "C" fn _Unwind_Resume(_: *mut c_void) -> ! {
                abort()
            }

            #[unsafe(no_mangle)]
            extern "C" fn _Unwind_FindEnclosingFunction(_: *mut c_void) -> *mut c_void {
                ::std::ptr::null_mut()
            }

            #[unsafe(no_mangle)]
            extern "C" fn _Unwind_GetLanguageSpecificData(_: Context) -> *mut c_void {
                ::std::ptr::null_mut()
            }

            #[unsafe(no_mangle)]
            extern "C" fn _Unwind_GetCFA(_: Context) -> usize {
                0
            }

            #[unsafe(no_mangle)]
            extern "C" fn _Unwind_GetDataRelBase(_: Context) -> usize {
                0
            }

            #[unsafe(no_mangle)]
            extern "C" fn _Unwind_GetTextRelBase(_: Context) -> usize {
                0
            }

            #[unsafe(no_mangle)]
            extern "C" fn _Unwind_GetRegionStart(_: Context) -> usize {
                0
            }

            #[unsafe(no_mangle)]
            extern "C" fn _Unwind_GetIP(_: Context) -> usize {
                0
            }

            #[unsafe(no_mangle)]
            extern "C" fn _Unwind_GetIPInfo(_: Context, _: *mut c_int) -> usize {
                0
            }

            #[unsafe(no_mangle)]
            extern "C" fn _Unwind_SetGR(_: Context, _: c_int, _: usize) {}

            #[unsafe(no_mangle)]
            extern "C" fn _Unwind_SetIP(_: Context, _: usize) {}
        }
    };
}
