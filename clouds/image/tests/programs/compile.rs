//! [`Program`]: a program with libraries that are found in three ways.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// A program that prints `42`. It needs `libone.so` beside itself (`DT_RUNPATH` with `$ORIGIN`), which needs `libtwo.so` in
/// a folder with an absolute path (`DT_RPATH`), which needs `libthree.so` in a folder that only the caller knows.
pub(crate) struct Program {
    folder: tempfile::TempDir,
}

impl Program {
    /// Compiles program and libraries. `note` is in the program, which makes programs differ.
    pub(crate) fn compile(note: &str) -> Self {
        Self::compile_with(note, "-Wl,-soname,libthree.so")
    }

    /// The same, with one more flag for the last library.
    pub(crate) fn compile_with(note: &str, flag: &str) -> Self {
        let program = Self { folder: tempfile::tempdir().unwrap() };
        for folder in ["bin", "lib", "absolute", "hidden"] {
            std::fs::create_dir(program.at(folder)).unwrap();
        }
        let at = |name: &str| program.at(name).display().to_string();
        let library = |name: &str, code: &str, rest: &[&str]| {
            program.cc(name, code, &[&["-shared", "-fPIC", "-Wl,--no-as-needed"][..], rest].concat());
        };
        library("hidden/libthree.so", "int three(void) { return 3; }", &["-Wl,-soname,libthree.so", flag]);
        let two = "int three(void); int two(void) { return 11 + three(); }";
        library("absolute/libtwo.so", two, &[&at("hidden/libthree.so"), "-Wl,-soname,libtwo.so"]);
        let one = "int two(void); int one(void) { return 28 + two(); }";
        let rpath = format!("-Wl,-rpath,{}", at("absolute"));
        let flags = ["-Wl,--disable-new-dtags", "-Wl,-soname,libone.so", "-Wl,--allow-shlib-undefined"];
        library(
            "lib/libone.so",
            one,
            &[&[at("absolute/libtwo.so").as_str(), rpath.as_str()][..], &flags].concat(),
        );
        let main = format!(
            "#include <stdio.h>\nint one(void);\nconst char *note = \"{note}\";\n\
             int main(void) {{ printf(\"%d %s\\n\", one(), note); return 0; }}"
        );
        let flags = ["-Wl,--enable-new-dtags", "-Wl,-rpath,$ORIGIN/../lib", "-Wl,--allow-shlib-undefined"];
        program.cc("bin/program", &main, &[&[at("lib/libone.so").as_str()][..], &flags].concat());
        program
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program itself.
    pub(crate) fn path(&self) -> PathBuf {
        self.at("bin/program")
    }

    /// An image of the program, at `/app/bin/program`.
    pub(crate) async fn image(&self) -> lithops_image::Image {
        self.builder().build().await.unwrap()
    }

    pub(crate) fn builder(&self) -> lithops_image::ImageBuilder {
        lithops_image::ImageBuilder::new(self.path())
            .program_path("/app/bin/program")
            .library_folder(self.at("hidden"))
    }

    fn cc(&self, name: &str, code: &str, flags: &[&str]) {
        let source = self.at("source.c");
        std::fs::write(&source, code).unwrap();
        let output = Command::new("cc")
            .args([Path::new("-o"), &self.at(name), &source])
            .args(flags)
            .output()
            .expect("`cc` is there wherever Rust links");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
