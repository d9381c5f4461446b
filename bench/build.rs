//! Compiles the face of Boost.Interprocess where a C++ compiler and the headers are; says why not
//! where they are not.

use std::process::{Command, Stdio};

const SOURCE: &str = "src/candidates/boost.cpp";

fn main() {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rustc-check-cfg=cfg(has_boost)");
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").opt_level(3).warnings(false).file(SOURCE);
    let why = match build.try_get_compiler() {
        Err(_) => "needs a C++ compiler: Debian's g++",
        Ok(compiler) if !compiles(&mut compiler.to_command()) => {
            "needs the headers of Boost.Interprocess: Debian's libboost-dev"
        }
        Ok(_) => match build.try_compile("bench_boost") {
            Ok(()) => {
                println!("cargo::rustc-cfg=has_boost");
                return;
            }
            Err(_) => "its C++ part does not compile here",
        },
    };
    println!("cargo::rustc-env=BENCH_BOOST_MISSING={why}");
}

fn compiles(compiler: &mut Command) -> bool {
    compiler.args(["-fsyntax-only", SOURCE]).stdout(Stdio::null()).stderr(Stdio::null());
    compiler.status().is_ok_and(|status| status.success())
}
