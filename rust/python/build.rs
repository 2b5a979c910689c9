//! Passes cargo's profile on, so that a debug build can be told from a release.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-env=PIXCRAWLER_PROFILE={}", std::env::var("PROFILE").unwrap_or_default());
}
