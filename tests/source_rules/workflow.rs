//! The workflow and the action that other repositories call: what they name is there.

use saphyr::{LoadableYamlNode, YamlOwned as Yaml};
use std::fs;

use super::{layout, root};

/// Programs with commands of their own, and where those and their options are fields.
const PROGRAMS: [(&str, &[&str]); 2] = [
    ("vatic-models", &["models/main.rs"]),
    ("vatic-verification", &["verification/main.rs", "verification/batch.rs"]),
];
/// What cargo is told; whoever tells it something else adds that here.
const OPTIONS: &str = "--all --all-targets --bins --check --features --lib --locked \
                       --manifest-path --release --target-dir --workspace";

#[test]
fn workflow_and_action_name_what_there_is() {
    for file in [".github/workflows/ci.yml", ".github/actions/model-check/action.yml"] {
        let mut faults = Vec::new();
        let steps = walk(&yaml(&text(file)), &mut faults);
        assert!(steps > 0, "{file} has no steps");
        assert!(faults.is_empty(), "{file}: {faults:#?}");
    }
}

#[test]
fn workflow_that_names_what_is_not_there_is_caught() {
    let steps = [
        "run: cargo test -p vatic-nobody",
        "run: cargo test --workspace --al-targets",
        "run: cargo test --workspace --exclude 'nobody-*'",
        "run: cargo test -p vatic-sync --test nothing",
        "run: cargo run -p vatic-models -- prove --output json",
        "run: command=(-p vatic-verification -- simulate --sedes 5)",
        "uses: ./.github/actions/nothing",
        "{ uses: ./.github/actions/model-check, with: { chek: models } }",
        "{ uses: ./.github/actions/model-check, with: { check: proofs } }",
        "{ uses: ./.github/actions/model-check, with: { check: simulate, arguments: --sedes 8 } }",
    ];
    for step in steps {
        let mut faults = Vec::new();
        walk(&yaml(&format!("- {step}\n")), &mut faults);
        assert_eq!(faults.len(), 1, "{step}: {faults:?}");
    }
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_default()
}

fn yaml(text: &str) -> Yaml {
    Yaml::load_from_str(text).expect("it is YAML").pop().expect("it has a document")
}

/// Looks at all steps; gives their number.
fn walk(node: &Yaml, faults: &mut Vec<String>) -> usize {
    let field = |name: &str| node.as_mapping_get(name).and_then(Yaml::as_str);
    if let Some(script) = field("run") {
        script.replace("\\\n", " ").lines().for_each(|line| look_at(line, faults));
    } else if let Some(action) = field("uses") {
        action.strip_prefix("./").into_iter().for_each(|action| call(action, node, faults));
    } else {
        let fields = node.as_mapping().into_iter().flatten().map(|(_, inner)| inner);
        let inner = node.as_sequence().into_iter().flatten().chain(fields);
        return inner.map(|inner| walk(inner, faults)).sum();
    }
    1
}

/// A line of a script, as far as it names packages, their parts and options.
fn look_at(line: &str, faults: &mut Vec<String>) {
    let line = line.replace(['(', ')', ';', '\'', '"'], " ");
    let words: Vec<&str> = line.split_whitespace().collect();
    let manifests: Vec<String> = layout::manifests(&root()).into_iter().map(|(_, it)| it).collect();
    let named = |start: &str| manifests.iter().find(|it| it.contains(start));
    let (mut package, mut of_cargo) = ("", false);
    for (at, word) in words.iter().enumerate() {
        let next = words.get(at + 1).copied().unwrap_or_default();
        let start = |name: &str| format!("[package]\nname = \"{name}");
        let good = match *word {
            "-p" => named(&(start(next) + "\"")).is_some(),
            "--exclude" => named(&start(next.trim_end_matches('*'))).is_some(),
            "--test" | "--bin" | "--example" => named(&(start(package) + "\""))
                .is_some_and(|manifest| manifest.contains(&format!("\nname = \"{next}\""))),
            "--" => words.contains(&"test") || has(package, &words[at + 1..]),
            it if of_cargo && it.starts_with("--") => OPTIONS.split(' ').any(|one| one == it),
            _ => true,
        };
        of_cargo = (of_cargo || *word == "cargo") && *word != "--";
        package = if *word == "-p" { next } else { package };
        faults.extend((!good).then(|| format!("{word} {next} in {line:?}")));
    }
}

/// Whether a program, if it is one of ours, has this command and these options.
fn has(program: &str, arguments: &[&str]) -> bool {
    let Some((_, files)) = PROGRAMS.iter().find(|(name, _)| *name == program) else { return true };
    let source: String = files.iter().map(|file| text(file)).collect();
    arguments.iter().enumerate().all(|(at, argument)| match argument.strip_prefix("--") {
        Some(option) => source.contains(&format!("    {}: ", option.replace('-', "_"))),
        None => at > 0 || source.to_lowercase().contains(&format!("    {argument}(")),
    })
}

/// A call of an action of this repository.
fn call(action: &str, step: &Yaml, faults: &mut Vec<String>) {
    let source = text(&format!("{action}/action.yml"));
    let action = if source.is_empty() { yaml("{}") } else { yaml(&source) };
    let has_input = |name: &str| action.as_mapping_get("inputs")?.as_mapping_get(name);
    let with = step.as_mapping_get("with").and_then(Yaml::as_mapping).into_iter().flatten();
    let given = with.filter_map(|(name, value)| name.as_str().zip(value.as_str()));
    let given: Vec<_> = given.collect();
    let known = given.iter().all(|(name, _)| has_input(name).is_some());
    let value = |name| given.iter().find(|(it, _)| *it == name).map(|(_, value)| *value);
    let check = format!("{}) command=(-p ", value("check").unwrap_or("models"));
    let program = source.split_once(&check).and_then(|(_, rest)| rest.split(' ').next());
    let arguments = value("arguments").unwrap_or_default().split(' ');
    let options: Vec<&str> = arguments.filter(|argument| argument.starts_with("--")).collect();
    let good = known && program.is_some_and(|program| has(program, &options));
    faults.extend((!good).then(|| format!("{given:?} is not for the action")));
}
