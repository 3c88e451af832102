//! libFuzzer's entry: it calls the target that SEALYARD_FUZZ_TARGET names with any bytes.

#![no_main]

mod targets;

use std::sync::OnceLock;

static TARGET: OnceLock<targets::Target> = OnceLock::new();

fn chosen() -> targets::Target {
    let name = std::env::var("SEALYARD_FUZZ_TARGET").unwrap_or_default();
    let found = targets::TARGETS.iter().find(|one| one.0 == name);
    found.unwrap_or_else(|| panic!("SEALYARD_FUZZ_TARGET={name} is no target")).1
}

/// Run one input. libFuzzer, which is C, calls it.
#[no_mangle]
pub extern "C" fn LLVMFuzzerTestOneInput(data: *const u8, size: usize) -> i32 {
    let data = if size == 0 {
        &[]
    } else {
        // SAFETY: libFuzzer hands over `size` readable bytes that nothing changes during the call.
        unsafe { std::slice::from_raw_parts(data, size) }
    };
    TARGET.get_or_init(chosen)(data);
    0
}
