//! Times `tce check` and `tce compile` beside `protoc` and `slice2cpp`, in one run, on the same
//! declarations in each one's language; and again on ten times as many, to see how time grows.

mod model;
mod timing;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use clap::Parser;

use model::{Language, Size};
use timing::{Sample, median};

/// Times the IDL compiler beside protoc and slice2cpp.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// How often everything is timed; the table shows medians, and ratios within a round
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// The tce to time; built from this checkout unless given
    #[arg(long)]
    tce: Option<PathBuf>,
}

/// A command that is timed.
struct Contestant {
    name: &'static str,
    language: Language,
    program: PathBuf,
    arguments: &'static [&'static str],
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let tce = match cli.tce {
        Some(tce) => tce,
        None => build_tce()?,
    };
    let mut contestants = contestants(&tce)?;
    let folder = tempfile::tempdir()?;
    let sizes = [Size::of(1_000), Size::of(10_000)];
    for size in sizes {
        for language in Language::ALL {
            let text = language.text(size);
            std::fs::write(folder.path().join(language.file(size)), text)?;
        }
    }
    println!(
        "Medians of {} rounds; ratios are taken within a round.",
        cli.rounds
    );
    let [few, many] = sizes;
    let small = time_all(&contestants, few, folder.path(), cli.rounds)?;
    print_table(&contestants, few, &small);
    // slice2cpp's parser takes no file of the larger size: it runs out of its stack.
    contestants.retain(|contestant| contestant.language != Language::Slice);
    let large = time_all(&contestants, many, folder.path(), cli.rounds)?;
    print_table(&contestants, many, &large);
    println!("\nTen times as many declarations take");
    for ((contestant, small), large) in contestants.iter().zip(&small).zip(&large) {
        let growth = median(large) / median(small);
        println!("{:<16}{growth:>8.1} times as long", contestant.name);
    }
    Ok(())
}

fn contestants(tce: &Path) -> Result<Vec<Contestant>> {
    let contestant = |name, language, program: PathBuf, arguments| Contestant {
        name,
        language,
        program,
        arguments,
    };
    Ok(vec![
        contestant("tce check", Language::Idl, tce.to_owned(), &["check"][..]),
        contestant(
            "tce compile",
            Language::Idl,
            tce.to_owned(),
            &["compile", "-o", "out", "-i"],
        ),
        contestant(
            "protoc check",
            Language::Proto,
            installed("protoc", "protobuf-compiler")?,
            &["--descriptor_set_out=/dev/null"],
        ),
        contestant(
            "protoc C++",
            Language::Proto,
            installed("protoc", "protobuf-compiler")?,
            &["--cpp_out=out"],
        ),
        contestant(
            "slice2cpp",
            Language::Slice,
            installed("slice2cpp", "zeroc-ice-compilers")?,
            &["--output-dir", "out"],
        ),
    ])
}

/// The path of a program that Debian's `package` brings.
fn installed(program: &str, package: &str) -> Result<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
        .with_context(|| format!("{program} is missing; `apt-get install {package}` brings it"))
}

/// Builds the tce of this checkout, as users get it.
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
        bail!("tce was not built");
    }
    Ok(target.join("release/tce"))
}

/// Times everyone in turn, round by round: what disturbs a round disturbs all.
fn time_all(
    contestants: &[Contestant],
    size: Size,
    folder: &Path,
    rounds: u32,
) -> Result<Vec<Sample>> {
    let mut samples = vec![Sample::new(); contestants.len()];
    // One round that does not count fills the caches.
    for round in 0..=rounds {
        for (contestant, sample) in contestants.iter().zip(&mut samples) {
            let time = contestant.time(size, folder)?;
            if round > 0 {
                sample.push(time);
            }
        }
    }
    Ok(samples)
}

impl Contestant {
    fn time(&self, size: Size, folder: &Path) -> Result<f64> {
        let out = folder.join("out");
        // Each writes its files anew.
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

fn print_table(contestants: &[Contestant], size: Size, samples: &[Sample]) {
    println!("\n{size}");
    println!("{:<16}{:>10}{:>26}", "", "ms", "to tce check");
    let Some(check) = samples.first() else {
        return;
    };
    for (contestant, sample) in contestants.iter().zip(samples) {
        let ratios: Sample = sample
            .iter()
            .zip(check)
            .map(|(it, check)| it / check)
            .collect();
        let lowest = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = ratios.iter().copied().fold(0.0, f64::max);
        println!(
            "{:<16}{:>10.1}{:>12.2} ({lowest:.2}-{highest:.2})",
            contestant.name,
            median(sample) * 1000.0,
            median(&ratios)
        );
    }
}
