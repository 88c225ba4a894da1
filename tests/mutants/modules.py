"""Which tests are about which module.

A mutant is held against these alone: what other tests would say of it is chance, and takes long.
Heavy ones are left out, as in `make test`.
"""

# By file: the tests that are about it.
TESTS = {
    "data/chats.py": "data/test_chats.py data/test_bounds.py",
    "data/cleaning.py": "data/test_cleaning.py",
    "data/corpora.py": "data/test_form.py data/test_corpora.py data/test_formats.py",
    "data/json_text.py": "data/test_bounds.py data/test_leaf.py data/test_chats.py",
    "data/leaf.py": "data/test_leaf.py",
    "data/links.py": "data/test_cleaning.py",
    "data/messages.py": "data/test_messages.py data/test_chats.py",
    "data/opened.py": "data/test_opened.py data/test_formats.py data/test_bounds.py",
    "data/parquet.py": "data/test_parquet.py",
    "data/population.py": "data/test_population.py data/test_population_description.py",
    "data/prepare.py": (
        "data/test_prepare_arguments.py data/test_prepare.py data/test_prepare_failures.py "
        "data/test_voices.py"
    ),
    "data/seals.py": "data/test_seals.py",
    "data/staging.py": "data/test_prepare.py data/test_prepare_failures.py",
    "data/statistics.py": "data/test_statistics.py",
    "data/tables.py": "data/test_tables.py data/test_corpora.py data/test_bounds.py",
    "data/tff_clients.py": "data/test_tff_clients.py",
    "data/times.py": "data/test_times.py",
    "data/voices.py": "data/test_voices.py",
    "data/whatsapp.py": "data/test_whatsapp.py data/test_chats.py",
    "data/writing.py": "data/test_voices.py data/test_prepare.py data/test_prepare_failures.py",
    "fedkeyboard/algorithms/local_training.py": "fedkeyboard/algorithms/test_local_training.py",
    "fedkeyboard/evaluation/kneser_ney.py": "fedkeyboard/evaluation/test_kneser_ney.py",
    "fedkeyboard/evaluation/metrics.py": "fedkeyboard/evaluation/test_metrics.py",
    "fedkeyboard/ngrams/counts.py": "fedkeyboard/ngrams/test_counts.py",
    "fedkeyboard/ngrams/fitting.py": "fedkeyboard/ngrams/test_fitting.py",
    "fedkeyboard/ngrams/model.py": "fedkeyboard/ngrams/test_model.py",
    "fedkeyboard/ngrams/trie.py": "fedkeyboard/ngrams",
    "fedkeyboard/text/words.py": "fedkeyboard/text/test_words.py",
    "fedkeyboard/updates/admission.py": "fedkeyboard/updates/test_admission.py",
    "fedkeyboard/updates/update_file.py": "fedkeyboard/updates",
    "fedkeyboard/updates/update_round.py": "fedkeyboard/updates/test_update_round.py",
    "simulation/cohorts.py": "simulation/test_cohorts.py",
    "simulation/fleet/feasibility.py": "simulation/fleet/test_feasibility.py",
    "simulation/fleet/fleet.py": (
        "simulation/fleet/test_bytes.py simulation/fleet/test_sampling.py "
        "simulation/fleet/test_fleet.py"
    ),
    "simulation/fleet/fleet_round.py": "simulation/fleet/test_fleet_report.py",
    "simulation/fleet/habits.py": "simulation/fleet/test_habits.py",
    "simulation/fleet/knowledge.py": "simulation/fleet/test_knowledge.py",
    "simulation/fleet/participation.py": "simulation/fleet/test_participation.py",
    "simulation/fleet/plan.py": "simulation/fleet/test_plan.py",
    "simulation/fleet/reporting.py": "simulation/fleet/test_reporting.py",
    "simulation/fleet/selection.py": (
        "simulation/fleet/test_selection.py simulation/fleet/test_sampling.py "
        "simulation/fleet/test_fleet.py"
    ),
    "tflite_export/package.py": (
        "tflite_export/test_package.py tflite_export/test_package_files.py "
        "tflite_export/test_export.py"
    ),
    "tflite_export/phone/personalization.py": "tflite_export/phone/test_personalization.py",
    "tflite_export/verify.py": (
        "tflite_export/test_measures.py tflite_export/test_verify.py "
        "tflite_export/test_verify_hostile.py"
    ),
}
# Loaded before the tests are: what they need and takes long. Nothing of fedkeyboard's own, since
# a module that is imported already is not replaced.
LOADED = (
    *("numpy", "scipy.stats", "scipy.special", "pyarrow.parquet", "pydantic", "hypothesis.extra"),
    *("sentencepiece", "nltk", "regex", "matplotlib.pyplot", "chitchat_dataset", "optuna", "typer"),
    *("rich.console", "tensorflow", "tensorflow_federated", "ai_edge_litert.interpreter"),
    "ai_edge_litert.schema_py_generated",
)


def import_name(path: str) -> str:
    """Returns the name by which a file's module is imported."""
    parts = path.removesuffix(".py").split("/")
    return ".".join(parts if parts[0] == "fedkeyboard" else ["fedkeyboard", *parts])
