//! The profile strips what visitors need not download; one section is kept that tells wasm-bindgen which features of
//! WebAssembly it may use.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "wasm32") {
        println!("cargo::rustc-link-arg-bins=--keep-section=target_features");
    }
}
