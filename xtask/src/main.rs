//! Project tasks behind `cargo xtask`: parses the command line and calls the file of that name.

mod autobahn;
mod bench;
mod context;
mod counts;
mod disk;
mod fuzz;
mod groups;
mod install;
mod interop;
mod outcome;
mod process;
mod test;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [--quick | --full] [GROUP…]   install what the tests need, run them, print one summary line
  test --list                        the groups, their time budgets and what they are for
  tidy                               the rules of the house that need no compiler
  interop [--full] [GROUP…]          only the groups that talk to other people's software
  fuzz [--seconds N] [TARGET…]       coverage-guided fuzzing (60 s in all unless told)
  bench [OPTION…]                    Parlor beside the raw limit and its peers (see benches/README.md)
";

fn main() -> ExitCode {
    process::kill_children_on_interrupt();
    let mut args = std::env::args().skip(1);
    let command = args.next();
    let rest: Vec<String> = args.collect();
    let done = match command.as_deref() {
        Some("test") => test::run(&rest),
        Some("tidy") => tidy::run(),
        Some("interop") => interop::run(&rest),
        Some("fuzz") => fuzz::run(&rest),
        Some("bench") => bench::run(&rest),
        Some("help" | "--help" | "-h") => {
            print!("{USAGE}");
            Ok(true)
        }
        Some(other) => Err(anyhow::anyhow!("unknown command `{other}`\n\n{USAGE}")),
        None => Err(anyhow::anyhow!("a command is needed\n\n{USAGE}")),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
