//! Strips what visitors need not download, except one section that tells wasm-bindgen which features of WebAssembly it
//! may use. The profile says so too, but Cargo forgets that for a package whose optimisation is stated apart: the names of
//! all functions stayed in the file, a tenth of it.

fn main() {
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "wasm32") {
        println!("cargo::rustc-link-arg-bins=--strip-all");
        println!("cargo::rustc-link-arg-bins=--keep-section=target_features");
    }
}
