//! Leaves everything running after the show, and says how to play with it.

use super::{interrupt, narrator::Narrator, stage::Stage, world::GATE};

/// Commands as they are typed, and what they are good for.
const COMMANDS: [(&str, &str); 7] = [
    ("portcullis status", "what the gate does"),
    ("portcullis why", "what it refused lately"),
    ("at attacker ping 10.77.0.2", "be the attacker"),
    ("portcullis ban add 10.77.3.2 --for 1m", "watch the ping die"),
    ("at visitor curl -i $shop/api/orders", "a plain call, refused"),
    (
        "at visitor sh -c \"$(at visitor portcullis sign GET $shop/api/orders)\"",
        "a signed one",
    ),
    ("at server ip link show eth0", "the program at the card"),
];

/// Stays until a signal comes.
pub(super) fn stay(stage: &Stage) {
    let tell = stage.tell;
    tell.title("It is all still there. In another shell, as root:");
    prepare(tell, stage);
    tell.shows("");
    for (command, purpose) in COMMANDS {
        tell.shows(&format!("{command:<40}  # {purpose}"));
    }
    tell.shows("");
    let home = stage.gate.home().display();
    tell.say(&format!(
        "Configuration and logs are in {home}; the gate is process {}.",
        stage.gate.id()
    ));
    tell.say(&format!(
        "Ctrl-C here, or `kill {}`, takes it all down.",
        std::process::id()
    ));
    interrupt::wait();
}

/// What makes the commands short.
fn prepare(tell: Narrator, stage: &Stage) {
    let binary = stage.gate.binary();
    let folder = binary.parent().unwrap_or(binary).display();
    let network = stage.world.visitor.network();
    let networks = network.to_string_lossy().replace("visitor", "$who");
    tell.shows(&format!("export PORTCULLIS_SOCKET={}", stage.gate.socket().display()));
    tell.shows(&format!("export PATH={folder}:$PATH shop=http://{GATE}"));
    tell.shows(&format!(
        "at() {{ who=$1; shift; nsenter --net={networks} -- \"$@\"; }}"
    ));
}
