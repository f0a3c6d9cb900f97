//! `switchback man-pages`: the manual, made from the command line's own descriptions. For packagers; not shown in the help.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap_mangen::Man;

const MANUAL: &str = "Switchback";
/// What concerns all subcommands; printed in the first page only.
const COMMON: &str = r#".SH FILES
.TP
\fI/etc/switchback/switchback.yaml\fR
The configuration, unless another one is named or \fI./conf/switchback.yaml\fR exists.
.TP
\fI/etc/switchback/keys/\fR
Under systemd: one file for each key. \fIkeys/openai\fR is \fBkey: { credential: keys_openai }\fR in the configuration.
.SH ENVIRONMENT
.TP
\fBSWITCHBACK_CONFIG\fR
The configuration file, unless \fB\-\-config\fR names one.
.TP
\fBNO_COLOR\fR
If set, disables colours on a terminal.
.SH EXIT STATUS
0: success. 1: failure, explained on standard error. 2: wrong arguments.
.SH SEE ALSO
\fBsystemctl\fR(1), \fBjournalctl\fR(1), \fBsystemd.exec\fR(5); \fI/usr/share/doc/switchback/\fR
"#;

/// Write the manual's pages into a directory
#[derive(clap::Args)]
pub(super) struct Arguments {
    directory: PathBuf,
}

pub(super) fn run(arguments: &Arguments, mut program: clap::Command) -> anyhow::Result<ExitCode> {
    program.build();
    let mut page = page(&program)?;
    page.extend_from_slice(COMMON.as_bytes());
    write(&arguments.directory, "switchback", &page)?;
    for subcommand in program.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        // clap adds one of its own, which repeats the pages of all others.
        if subcommand.get_name() != "help" {
            let name = format!("switchback-{}", subcommand.get_name());
            write(&arguments.directory, &name, &self::page(subcommand)?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn page(command: &clap::Command) -> anyhow::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone()).manual(MANUAL).render(&mut page)?;
    Ok(page)
}

fn write(directory: &Path, name: &str, page: &[u8]) -> anyhow::Result<()> {
    let file = directory.join(format!("{name}.1"));
    fs::write(&file, page).with_context(|| format!("can't write {}", file.display()))
}
