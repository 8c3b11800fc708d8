"""Examples of each command, which its help and docs/commands.md show. Files named in them are the user's."""

EXAMPLES: dict[str, tuple[str, ...]] = {
    "vkood explain": (
        "vkood explain photo.jpg",
        'vkood explain photo.jpg --text "What is it used for?" --output page.html',
        "vkood explain photographs --store mine.db --limit 10 --json > explained.json",
    ),
    "vkood app": (
        "vkood app",
        "vkood app --model vkood-demo/model --store mine.db",
        "vkood app --host 0.0.0.0 --port 8000 --no-browser",
    ),
    "vkood demo": (
        "vkood demo",
        "vkood demo --train --quick",
        "vkood demo --train --output results/demo --seed 1",
    ),
    "vkood evaluate": (
        "vkood evaluate runs/first/best --data tables",
        "vkood evaluate --data tables --table vqav2_rest_val --predictions answers.jsonl --json > scores.json",
        "vkood evaluate vkood-demo/model --data easy-vqa-knowledge --irrelevant 150",
    ),
    "vkood train": (
        "vkood train vqa tiny data.folder=tables output=runs/first",
        "vkood train vqa data.folder=tables output=runs/vqa num_gpus=4 optimisation.learning_rate=1e-5",
        "vkood train vqa tiny data.folder=tables output=runs/first --dry-run > run.yaml",
        "vkood train --config run.yaml output=runs/second",
    ),
    "vkood recipes": ("vkood recipes", "vkood recipes --keys", "vkood recipes --json"),
    "vkood predict": (
        'vkood predict runs/first/best --image photo.jpg --text "What is on the table?"',
        'vkood predict runs/nlvr2/best --image left.jpg --image right.jpg --text "Both show a dog."',
        'vkood predict runs/first/best --image photo.jpg --text "What is it for?" --facts mine.txt --output page.html',
    ),
    "vkood convert": (
        "vkood convert meter_vqa.ckpt --output meter-vqa",
        "vkood convert model_base.pth --output blip-vqa --task vqa --image-size 480 --quiet",
    ),
    "vkood data prepare": (
        "vkood data prepare vqav2 --root raw/vqav2 --output tables",
        "vkood data prepare okvqa --root raw/okvqa --output tables --concepts tagger",
        "vkood data prepare own --file questions.csv --root images --output tables --min-answers 2",
        "vkood data prepare nlvr2 --root raw/nlvr2 --output tables --facts none --json",
    ),
    "vkood data check": ("vkood data check tables", "vkood data check tables --json > check.json"),
    "vkood data tiny": (
        "vkood data tiny vqav2 --output raw/vqav2",
        "vkood data tiny nlvr2 --output raw/nlvr2 --num-images 8",
    ),
    "vkood knowledge build conceptnet": (
        "vkood knowledge build conceptnet conceptnet-assertions-5.7.0.csv.gz --output conceptnet.db",
        "vkood knowledge build conceptnet assertions.csv --output uses.db --relations UsedFor,CapableOf --min-weight 2",
    ),
    "vkood knowledge build wordnet": ("vkood knowledge build wordnet WordNet-3.0/dict --output wordnet.db",),
    "vkood knowledge build table": (
        "vkood knowledge build table facts.csv --output mine.db --licence CC0",
        "vkood knowledge build table more.jsonl --output mine.db --append --unknown-relations skip",
    ),
    "vkood knowledge stats": (
        "vkood knowledge stats",
        "vkood knowledge stats --store mine.db --verify --json",
    ),
    "vkood knowledge lookup": (
        'vkood knowledge lookup "a man holding a red umbrella"',
        'vkood knowledge lookup "Can a penguin fly?" --store mine.db --limit 3 --json',
    ),
    "vkood knowledge encode": (
        "vkood knowledge encode --output vectors",
        "vkood knowledge encode --store mine.db --output vectors --batch-size 256 --verify",
    ),
    "vkood doctor": ("vkood doctor", "vkood doctor --json", "vkood doctor --hub"),
}
