//! Leaves the names of functions out of the programs that visitors download: they are a quarter of the download.
//! As an argument of the linker, and not as the profile's `strip`, it touches no dependency, and tests keep their names.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let of = |name: &str| std::env::var(name).unwrap_or_default();
    if of("CARGO_CFG_TARGET_ARCH") == "wasm32" && of("PROFILE") == "release" {
        println!("cargo::rustc-link-arg-bins=--strip-all");
    }
}
