//! `embedkit-sql`: SQL with models, in this process or on a cluster.

use std::{
    io::{self, IsTerminal as _, Read as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use datafusion::prelude::{SessionConfig, SessionContext};
use embedkit::LoadOptions;
use embedkit_datafusion::{
    FunctionOptions, Models, config, embedded,
    job::{self, Job},
    shell::{self, Shown, Statements},
    simulate::{Plan, simulate},
};

#[path = "shared/mod.rs"]
mod shared;

/// Functions, for the help of the program and of the shell.
const FUNCTIONS: &str = "\
Functions:
  embed(model, text [, role])      a vector; the role is 'query' or 'passage'
  embed_try(model, text [, role])  vector, error, tokens, truncated
  sparse(model, text [, role])     weighted terms
  bm25(text [, language])          weighted terms, without a model
  colbert(model, text [, role])    a vector for each token
  muvera(vectors [, options])      one vector for many
  rerank(model, query, text)       a score
  max_sim(query, document)         a score of many vectors";

const EXAMPLES: &str = "\
Examples:
  embedkit-sql -c \"SELECT bm25('snails are slow')\"
  embedkit-sql -c \"SELECT id, embed('BAAI/bge-small-en-v1.5', text) FROM 'docs/*.parquet'\"
  embedkit-sql -c \"COPY (SELECT id, bm25(text) AS terms FROM 'docs.csv') TO 'terms.parquet'\"
  embedkit-sql --ballista df://head:50050 < statements.sql
  embedkit-sql job JOB.toml";

const JOB_EXAMPLE: &str = "\
A description:
  statement = \"SELECT id, embed('BAAI/bge-small-en-v1.5', text) AS vector FROM source\"

  [source]
  files = [\"docs/*.parquet\"]   # or .jsonl, .csv, a folder, s3://bucket/docs/

  [sink]
  folder = \"vectors\"          # part-HASH.parquet, and failed-HASH.jsonl for rows that failed

Kill it when you like: the same command goes on where it was.";

const SIMULATE_EXAMPLE: &str = "\
Example:
  embedkit-sql simulate --texts 100000000 --unit 10000 --executors 64 --rate 100 \\
      --skew 0.5 --slow-share 0.1 --slowdown 2 --hours-between-losses 24";

fn help() -> String {
    format!("{FUNCTIONS}\n\n{EXAMPLES}")
}

/// Ask files of texts in SQL, with models
///
/// Files and patterns in quotes are tables. Without -c, statements come from standard input, or are asked for one
/// by one.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = help())]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Args)]
struct AskArgs {
    /// Statements to run; they end in semicolons
    #[arg(short, value_name = "SQL")]
    command_line: Option<String>,
    /// Rows of a result that are shown
    #[arg(short = 'n', long, default_value_t = Shown::default().rows)]
    rows: usize,
    /// Show long texts and vectors whole
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

#[derive(Args)]
struct EngineArgs {
    /// Run on the cluster whose scheduler is at this URL, such as df://host:50050
    #[arg(long, value_name = "URL")]
    ballista: Option<String>,
    /// A setting of the engine, such as datafusion.execution.batch_size=1024
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    #[command(flatten)]
    models: shared::ModelArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Run a statement over many files, and go on where it was killed
    #[command(after_help = JOB_EXAMPLE)]
    Job {
        /// Description of the job
        #[arg(value_name = "JOB.toml")]
        file: PathBuf,
        /// Remove parts of other inputs, statements, models or options from the folder
        #[arg(long)]
        prune: bool,
        /// No lines of progress
        #[arg(short, long)]
        quiet: bool,
        #[command(flatten)]
        engine: EngineArgs,
    },
    /// Tell how long a job takes where executors are slow, get lost, or meet long texts
    #[command(after_help = SIMULATE_EXAMPLE)]
    Simulate(SimulateArgs),
}

#[derive(Args)]
struct SimulateArgs {
    /// Texts of the job
    #[arg(long, default_value_t = Plan::default().texts)]
    texts: u64,
    /// Texts of a unit of work
    #[arg(long, default_value_t = Plan::default().unit)]
    unit: u64,
    /// Executors
    #[arg(long, default_value_t = Plan::default().executors)]
    executors: u32,
    /// Units that an executor works on at once
    #[arg(long, default_value_t = Plan::default().slots)]
    slots: u32,
    /// Texts per second of a slot
    #[arg(long, default_value_t = Plan::default().rate)]
    rate: f64,
    /// Spread of the units' cost, as the standard deviation of its logarithm
    #[arg(long, default_value_t = 0.0)]
    skew: f64,
    /// Share of the executors that are slow, 0 to 1
    #[arg(long, default_value_t = 0.0)]
    slow_share: f64,
    /// How many times as long a slow executor takes
    #[arg(long, default_value_t = 1.0)]
    slowdown: f64,
    /// Mean hours between losses of an executor; none are lost at 0
    #[arg(long, default_value_t = 0.0)]
    hours_between_losses: f64,
    /// Seconds until the units of a lost executor are given to others
    #[arg(long, default_value_t = Plan::default().detection_s)]
    detection: f64,
    /// Seconds until a lost executor is back
    #[arg(long, default_value_t = Plan::default().restart_s)]
    restart: f64,
    /// Seed of the random numbers
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    shared::run(async {
        match cli.command {
            Some(Command::Job { file, prune, quiet, engine }) => {
                run_job(file, prune, quiet, &engine).await
            }
            Some(Command::Simulate(args)) => run_simulation(&args),
            None => ask(&cli.ask).await,
        }
    })
}

impl EngineArgs {
    async fn session(
        &self,
        options: FunctionOptions,
        base: SessionConfig,
    ) -> anyhow::Result<(SessionContext, Models)> {
        let models = Models::new(options);
        let mut config = base;
        for setting in &self.settings {
            let (name, value) = setting
                .split_once('=')
                .with_context(|| format!("--set: expected NAME=VALUE, got {setting:?}"))?;
            config.options_mut().set(name.trim(), value.trim()).context("--set")?;
        }
        let session = match &self.ballista {
            Some(url) => cluster(url, &models, config).await?,
            None => embedded(&models, config)?,
        };
        Ok((session, models))
    }
}

#[cfg(feature = "cluster")]
async fn cluster(
    url: &str,
    models: &Models,
    config: SessionConfig,
) -> anyhow::Result<SessionContext> {
    embedkit_datafusion::cluster::connect(url, models, config).await.context("--ballista")
}

#[cfg(not(feature = "cluster"))]
async fn cluster(_: &str, _: &Models, _: SessionConfig) -> anyhow::Result<SessionContext> {
    anyhow::bail!(
        "--ballista: this build runs queries in its own process only (build it with the feature `cluster`)"
    )
}

async fn ask(args: &AskArgs) -> anyhow::Result<()> {
    let (session, _) = args.engine.session(args.engine.models.options()?, config()).await?;
    let characters = if args.full { None } else { Shown::default().characters };
    let shown = Shown { rows: args.rows, characters };
    if let Some(sql) = &args.command_line {
        return Ok(shell::show_all(&session, sql, shown, &mut io::stdout()).await?);
    }
    if !io::stdin().is_terminal() {
        let mut sql = String::new();
        io::stdin().read_to_string(&mut sql).context("cannot read standard input")?;
        return Ok(shell::show_all(&session, &sql, shown, &mut io::stdout()).await?);
    }
    interactive(&session, shown).await
}

/// Asks for statements until the end of the input. A statement that fails ends nothing.
async fn interactive(session: &SessionContext, shown: Shown) -> anyhow::Result<()> {
    let mut editor = rustyline::DefaultEditor::new()?;
    let mut out = io::stdout();
    writeln!(out, "A statement ends in a semicolon. \\? lists the functions, \\q ends.")?;
    let mut statements = Statements::default();
    loop {
        let prompt = if statements.is_empty() { "sql> " } else { "...> " };
        let line = match editor.readline(prompt) {
            Ok(line) => line,
            Err(rustyline::error::ReadlineError::Interrupted) => {
                statements = Statements::default();
                continue;
            }
            Err(rustyline::error::ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        match line.trim().trim_end_matches(';') {
            "exit" | "quit" | "\\q" if statements.is_empty() => return Ok(()),
            "help" | "\\?" | "\\h" if statements.is_empty() => {
                writeln!(out, "{}", help())?;
                continue;
            }
            _ => {}
        }
        editor.add_history_entry(&line)?;
        for statement in statements.push(&line) {
            if let Err(error) = shell::show(session, &statement, shown, &mut out).await {
                writeln!(io::stderr(), "error: {}", error.strip_backtrace())?;
            }
        }
    }
}

async fn run_job(
    file: PathBuf,
    prune: bool,
    quiet: bool,
    engine: &EngineArgs,
) -> anyhow::Result<()> {
    let job = Job::read(&file)?;
    anyhow::ensure!(
        job.load == LoadOptions::default() || engine.ballista.is_none(),
        "{}: `load` is for models in this process; executors have --load",
        file.display()
    );
    let options = engine.models.options_over(job.load.clone())?;
    // One task for each unit: its rows keep their order.
    let (session, models) = engine.session(options, config().with_target_partitions(1)).await?;
    let on_progress = |progress: job::Progress| {
        if !quiet {
            let _ = writeln!(io::stderr(), "{progress}");
        }
    };
    let on_cluster = engine.ballista.is_some();
    let report = job::run(&session, &models, &job, prune, on_cluster, on_progress).await?;
    shared::say(&format!(
        "{} units are in {} ({} before): {} rows in {:.1} s, {:.0} a second, {} failed, {} retries",
        report.units,
        job.sink.folder,
        report.skipped,
        report.rows,
        report.elapsed.as_secs_f64(),
        report.rows as f64 / report.elapsed.as_secs_f64().max(1e-3),
        report.failed,
        report.retries,
    ));
    if report.failed > 0 {
        shared::say(&format!("reasons: {}/failed-*.jsonl", job.sink.folder.trim_end_matches('/')));
    }
    for calls in models.calls() {
        tracing::info!(model = calls.model, texts = calls.texts, "texts of this process");
    }
    Ok(())
}

fn run_simulation(args: &SimulateArgs) -> anyhow::Result<()> {
    let outcome = simulate(&Plan {
        texts: args.texts,
        unit: args.unit,
        executors: args.executors,
        slots: args.slots,
        rate: args.rate,
        skew: args.skew,
        slow_share: args.slow_share,
        slowdown: args.slowdown,
        hours_between_losses: args.hours_between_losses,
        detection_s: args.detection,
        restart_s: args.restart,
        seed: args.seed,
    })?;
    let hours = |seconds: f64| seconds / 3600.0;
    let mut out = io::stdout();
    writeln!(out, "units     {}", outcome.units)?;
    writeln!(out, "ideal     {:.2} h", hours(outcome.ideal_s))?;
    writeln!(
        out,
        "total     {:.2} h, {:.3} times the ideal",
        hours(outcome.total_s),
        outcome.total_s / outcome.ideal_s
    )?;
    writeln!(out, "tail      {:.2} h from the first idle slot to the end", hours(outcome.tail_s))?;
    writeln!(out, "losses    {}, {} units begun again", outcome.losses, outcome.repeated)?;
    Ok(())
}
