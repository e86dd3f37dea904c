//! Times `tce check` and `tce compile` beside `protoc` and `slice2cpp`, in one run. All compile the
//! same declarations, each in its own language; then ten times as many, to see how the time grows.

mod model;
mod timing;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use clap::Parser;

use model::{ModelLanguage, ModelSize};
use timing::{Sample, median};

/// Times the IDL compiler beside protoc and slice2cpp.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Number of rounds; the tables show medians, and ratios computed within a round
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Path of the `tce` program to time. Default: built from this checkout
    #[arg(long)]
    tce: Option<PathBuf>,
}

/// A command to time.
struct CompilerCommand {
    name: &'static str,
    language: ModelLanguage,
    program: PathBuf,
    arguments: &'static [&'static str],
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let tce = match cli.tce {
        Some(tce) => tce,
        None => build_tce()?,
    };
    let mut commands = commands(&tce)?;
    let folder = tempfile::tempdir()?;
    let sizes = [ModelSize::of(1_000), ModelSize::of(10_000)];
    for size in sizes {
        for language in ModelLanguage::ALL {
            let text = language.text(size);
            std::fs::write(folder.path().join(language.file(size)), text)?;
        }
    }
    println!(
        "Medians of {} rounds. Ratios are computed within a round: median (lowest-highest).",
        cli.rounds
    );
    let [few, many] = sizes;
    let small = time_all(&commands, few, folder.path(), cli.rounds)?;
    print_table(&commands, few, &small);
    // slice2cpp's parser fails on the larger file: it exceeds its stack.
    commands.retain(|command| command.language != ModelLanguage::Slice);
    let large = time_all(&commands, many, folder.path(), cli.rounds)?;
    print_table(&commands, many, &large);
    println!("\nTen times as many declarations take");
    for ((command, small), large) in commands.iter().zip(&small).zip(&large) {
        let growth = median(large) / median(small);
        println!("{:<16}{growth:>8.1} times as long", command.name);
    }
    Ok(())
}

fn commands(tce: &Path) -> Result<Vec<CompilerCommand>> {
    let command = |name, language, program: PathBuf, arguments| CompilerCommand {
        name,
        language,
        program,
        arguments,
    };
    Ok(vec![
        command(
            "tce check",
            ModelLanguage::Idl,
            tce.to_owned(),
            &["check"][..],
        ),
        command(
            "tce compile",
            ModelLanguage::Idl,
            tce.to_owned(),
            &["compile", "-o", "out", "-i"],
        ),
        command(
            "protoc check",
            ModelLanguage::Proto,
            installed("protoc", "protobuf-compiler")?,
            &["--descriptor_set_out=/dev/null"],
        ),
        command(
            "protoc C++",
            ModelLanguage::Proto,
            installed("protoc", "protobuf-compiler")?,
            &["--cpp_out=out"],
        ),
        command(
            "slice2cpp",
            ModelLanguage::Slice,
            installed("slice2cpp", "zeroc-ice-compilers")?,
            &["--output-dir", "out"],
        ),
    ])
}

/// The path of a program that the Debian package `package` contains.
fn installed(program: &str, package: &str) -> Result<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
        .with_context(|| format!("{program} is not installed: run `apt-get install {package}`"))
}

/// Builds the `tce` program of this checkout, in release mode.
fn build_tce() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "--release",
            "--locked",
            "-p",
            "tce-cli",
            "--target-dir",
        ])
        .arg(&target)
        .current_dir(&root)
        .status()?;
    if !built.success() {
        bail!("building tce failed: {built}");
    }
    Ok(target.join("release/tce"))
}

/// Times all commands once in each round, so that a disturbance affects all of them alike.
fn time_all(
    commands: &[CompilerCommand],
    size: ModelSize,
    folder: &Path,
    rounds: u32,
) -> Result<Vec<Sample>> {
    let mut samples = vec![Sample::new(); commands.len()];
    // The first round only fills the caches.
    for round in 0..=rounds {
        for (command, sample) in commands.iter().zip(&mut samples) {
            let time = command.time(size, folder)?;
            if round > 0 {
                sample.push(time);
            }
        }
    }
    Ok(samples)
}

impl CompilerCommand {
    fn time(&self, size: ModelSize, folder: &Path) -> Result<f64> {
        let out = folder.join("out");
        // Every run starts with an empty output folder.
        if out.exists() {
            std::fs::remove_dir_all(&out)?;
        }
        std::fs::create_dir(&out)?;
        let mut command = Command::new(&self.program);
        command
            .args(self.arguments)
            .arg(self.language.file(size))
            .current_dir(folder);
        timing::run(&mut command).with_context(|| self.name)
    }
}

fn print_table(commands: &[CompilerCommand], size: ModelSize, samples: &[Sample]) {
    println!("\n{size}");
    println!("{:<16}{:>10}{:>26}", "", "ms", "to tce check");
    let Some(check) = samples.first() else {
        return;
    };
    for (command, sample) in commands.iter().zip(samples) {
        let ratios: Sample = sample
            .iter()
            .zip(check)
            .map(|(time, check)| time / check)
            .collect();
        let lowest = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = ratios.iter().copied().fold(0.0, f64::max);
        println!(
            "{:<16}{:>10.1}{:>12.2} ({lowest:.2}-{highest:.2})",
            command.name,
            median(sample) * 1000.0,
            median(&ratios)
        );
    }
}
