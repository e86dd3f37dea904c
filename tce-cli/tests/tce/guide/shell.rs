//! Runs commands in a shell, in a temporary folder.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::command;

/// Marks the end of each command's output.
const END: &str = "<<end of output>>";

pub(super) struct Shell<'s> {
    folder: &'s Path,
    /// Ports on the page, and the real ports.
    ports: &'s [(String, String)],
}

impl<'s> Shell<'s> {
    pub(super) fn new(folder: &'s Path, ports: &'s [(String, String)]) -> Self {
        Self { folder, ports }
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        let path = self.folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Runs commands in order, and returns what each prints on standard output and standard error.
    pub(super) fn run(&self, commands: &[&str]) -> Vec<String> {
        let mut script = "exec 2>&1\n".to_owned();
        for command in commands {
            let command = self
                .ports
                .iter()
                .fold((*command).to_owned(), |it, (page, port)| {
                    it.replace(page, port)
                });
            // The subshell restores `$?` for the next command.
            script.push_str(&format!(
                "{command}\nstatus=$?; echo '{END}'; (exit $status)\n"
            ));
        }
        let output = self.shell().args(["-c", &script]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let end = format!("{END}\n");
        let outputs = text.split(&end).take(commands.len());
        let outputs: Vec<_> = outputs.map(|output| self.as_on_page(output)).collect();
        assert_eq!(outputs.len(), commands.len(), "{commands:?}: {text}");
        outputs
    }

    /// `sh` with the environment of [`command`], and the `tce` of this build first in `PATH`.
    fn shell(&self) -> Command {
        let tce = command();
        let program = Path::new(tce.get_program());
        let paths = env::var_os("PATH").unwrap_or_default();
        let paths = [program.parent().unwrap().to_owned()]
            .into_iter()
            .chain(env::split_paths(&paths));
        let mut shell = Command::new("sh");
        for (name, value) in tce.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell
            .env("PATH", env::join_paths(paths).unwrap())
            .env("HOME", self.folder)
            .envs(self.flow_ports())
            .current_dir(self.folder)
            .stdin(Stdio::null());
        shell
    }

    /// The ports that clients of a workflow server call, unless they are told another.
    fn flow_ports(&self) -> impl Iterator<Item = (&str, &str)> {
        [("ECF_PORT", "3141"), ("TAKLER_PORT", "33083")]
            .into_iter()
            .filter_map(|(variable, page)| {
                let (_, port) = self.ports.iter().find(|(known, _)| known == page)?;
                Some((variable, port.as_str()))
            })
    }

    fn as_on_page(&self, output: &str) -> String {
        self.ports
            .iter()
            .fold(output.to_owned(), |it, (page, port)| it.replace(port, page))
            .replace("127.0.0.1:12002", "localhost:12002")
            .replace("127.0.0.1:12003", "localhost:12003")
    }
}
