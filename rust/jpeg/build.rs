//! Tells the crate whether the libjpeg-turbo that it links has its SIMD code, and which version it is.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // turbojpeg-sys publishes the folder of installed headers; CMake's own configuration lies beside it.
    let include = PathBuf::from(env::var_os("DEP_TURBOJPEG_INCLUDE").unwrap_or_default());
    let build = include.join("../build");
    let defined = |file: &str, name: &str| -> Option<String> {
        let text = fs::read_to_string(build.join(file)).ok()?;
        let mut fields = text.lines().map(str::split_whitespace);
        fields.find_map(|mut line| {
            (line.next() == Some("#define") && line.next() == Some(name)).then(|| line.collect::<Vec<_>>().join(" "))
        })
    };
    let simd = defined("jconfigint.h", "WITH_SIMD").is_some() || defined("jconfig.h", "WITH_SIMD").is_some();
    let version = defined("jconfig.h", "LIBJPEG_TURBO_VERSION").unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=PIXCRAWLER_JPEG_SIMD={}", u8::from(simd));
    println!("cargo:rustc-env=PIXCRAWLER_JPEG_VERSION={version}");
}
