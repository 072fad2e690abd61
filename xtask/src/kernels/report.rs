//! What a guest's tests said, suite by suite.

use super::suites::Suite;

/// One suite on one kernel.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    name: String,
    passed: u32,
    failed: u32,
    /// What the test program ended with; `None` if the guest died before.
    status: Option<i32>,
    seconds: f64,
    /// What it printed.
    output: String,
}

/// All suites on one kernel.
pub(super) struct Report(Vec<Outcome>);

impl Report {
    /// Reads a guest's console. A suite that is not in it did not pass.
    pub(super) fn of(console: &str, suites: &[Suite]) -> Self {
        let outcomes = suites.iter().map(|suite| Outcome::of(console, &suite.name));
        Self(outcomes.collect())
    }

    pub(super) fn is_good(&self) -> bool {
        self.0.iter().all(Outcome::is_good)
    }

    /// The output of what failed, then a line for each suite.
    pub(super) fn print(&self, release: &str) {
        for outcome in self.0.iter().filter(|outcome| !outcome.is_good()) {
            println!("---- {} on {release}\n{}", outcome.name, outcome.output.trim());
        }
        for outcome in &self.0 {
            println!("{}", outcome.line(release));
        }
        let passed: u32 = self.0.iter().map(|outcome| outcome.passed).sum();
        let failed: u32 = self.0.iter().map(|outcome| outcome.failed).sum();
        let seconds: f64 = self.0.iter().map(|outcome| outcome.seconds).sum();
        println!("{release}: {passed} passed, {failed} failed, {seconds:.1} s");
    }
}

impl Outcome {
    fn of(console: &str, name: &str) -> Self {
        let mut outcome = Self {
            name: name.to_owned(),
            ..Self::default()
        };
        let start = format!("@suite {name} ");
        let mut lines = console.lines().skip_while(|line| !line.starts_with(&start));
        let started = lines
            .next()
            .and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        let mut ended = None;
        for line in lines {
            if let Some(status) = line.strip_prefix(&format!("@status {name} ")) {
                let mut words = status.split(' ');
                outcome.status = words.next().and_then(|word| word.parse().ok());
                ended = words.next().and_then(|word| word.parse::<f64>().ok());
                break;
            }
            if let Some(result) = line.strip_prefix("test result: ") {
                outcome.passed = before(result, " passed");
                outcome.failed = before(result, " failed");
            }
            outcome.output.push_str(line);
            outcome.output.push('\n');
        }
        outcome.seconds = started.zip(ended).map_or(0.0, |(start, end)| end - start);
        outcome
    }

    fn is_good(&self) -> bool {
        self.status == Some(0) && self.failed == 0
    }

    fn line(&self, release: &str) -> String {
        let verdict = if self.is_good() { "ok" } else { "FAILED" };
        format!(
            "{release:<26} {:<22} {verdict:<7} {:>3} passed {:>3} failed {:>7.1} s",
            self.name, self.passed, self.failed, self.seconds
        )
    }
}

/// The number in front of a word.
fn before(text: &str, word: &str) -> u32 {
    let number = text.split_once(word).and_then(|(front, _)| front.rsplit(' ').next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSOLE: &str = "noise\r\n@suite a 1.50\nrunning 2 tests\n\
        test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1s\n\
        @status a 0 4.00\n@suite b 4.00\ntest result: FAILED. 1 passed; 2 failed; 0 ignored;\n@status b 101 5.00\n\
        @suite c 5.00\nKernel panic\n";

    #[test]
    fn outcomes_are_read() {
        let a = Outcome::of(CONSOLE, "a");
        assert_eq!((a.passed, a.failed, a.status, a.seconds), (12, 0, Some(0), 2.5));
        assert!(a.is_good());
        let b = Outcome::of(CONSOLE, "b");
        assert_eq!((b.passed, b.failed, b.status), (1, 2, Some(101)));
        assert!(!b.is_good());
    }

    #[test]
    fn a_guest_that_died_or_left_a_suite_out_failed() {
        let c = Outcome::of(CONSOLE, "c");
        assert!(!c.is_good() && c.output.contains("Kernel panic"));
        assert!(!Outcome::of(CONSOLE, "d").is_good());
    }
}
