//! The laws that hold the native leaves to Python's, as a test of cargo: for `./dev mutants native`.
//!
//! They are in Python (`tests/core/leaves`). What is tested is these sources, wherever a copy of
//! them is; SEALYARD_ROOT is the checkout whose laws are used, SEALYARD_LAWS are files of them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const CRATE: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn the_laws_hold() {
    let root = env::var_os("SEALYARD_ROOT").map_or_else(|| Path::new(CRATE).join(".."), PathBuf::from);
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("laws");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--features", "python"]).arg("--target-dir").arg(&target);
    assert!(run(build.current_dir(CRATE).env("PYO3_NO_PYTHON", "1")), "it does not build");
    let modules = target.join("modules");
    fs::create_dir_all(&modules).unwrap();
    let module = target.join("debug/libsealyard_native.so");
    fs::copy(module, modules.join("sealyard_native.abi3.so")).unwrap();
    let mut laws = Command::new(root.join(".venv/bin/python"));
    laws.args(["-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]);
    let chosen = env::var("SEALYARD_LAWS").unwrap_or_else(|_| "tests/core/leaves".to_owned());
    laws.args(chosen.split_whitespace()).current_dir(&root).env("PYTHONPATH", &modules);
    assert!(run(&mut laws), "a law does not hold");
}

fn run(command: &mut Command) -> bool {
    command.status().unwrap().success()
}
