import re

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    CLIPImageProcessorPil,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from support.tiny_vlms import tiny_vlm
from vkood.gating import OutlierLayer
from vkood.pipelines import fact_prompts, gate_attention, open_facts

QUESTIONS = ["which thing is red?", "what is big?"]
FACTS = [["a kite is red.", "a mug is blue.", "a rug\nis big."], ["a mug is blue."]]
CHAT = (
    "{% for turn in messages %}<s>{{ turn.role }}:"
    "{% if turn.content is string %}{{ turn.content }}{% else %}"
    "{% for part in turn.content %}{{ '<image>' if part.type == 'image' else part.text }}{% endfor %}"
    "{% endif %}\n{% endfor %}assistant:"
)
STRIPPING = "{{ messages[0].content | upper }}"


def letters(**options):
    """A tokenizer of letters, so that a fact's tokens spell it."""
    alphabet = [chr(number) for number in range(32, 127)]
    vocabulary = {name: place for place, name in enumerate(["<pad>", "<s>", "<image>", "\n", *alphabet])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $0", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        additional_special_tokens=["<image>"],
        model_input_names=["input_ids", "attention_mask"],
        **options,
    )


def llava_processor(chat=None):
    image_processor = CLIPImageProcessorPil(size={"height": 16, "width": 16}, do_center_crop=False)
    return LlavaProcessor(
        image_processor,
        letters(),
        patch_size=8,
        vision_feature_select_strategy="full",
        chat_template=chat,
    )


def spelt(prompts, tokenizer):
    """What the tokens of each fact spell."""
    facts = []
    for ids, owners in zip(prompts.inputs["input_ids"], prompts.fact_of_token, strict=True):
        tokens = tokenizer.convert_ids_to_tokens(ids.tolist())
        groups = [[] for _ in range(int(owners.max()) + 1)]
        for token, owner in zip(tokens, owners.tolist(), strict=True):
            if owner >= 0:
                groups[owner].append(token)
        facts.append(["".join(group) for group in groups])
    return facts


LINES = [[f"- {fact}\n" for fact in of_prompt] for of_prompt in FACTS]


@pytest.mark.parametrize("padding_side", ["left", "right"])
@pytest.mark.parametrize("chat", [None, CHAT])
@pytest.mark.parametrize(
    "template", ["Facts:\n{facts}\n{question}", "{facts}{question}", "{question} {facts}?"]
)
def test_the_tokens_of_a_fact_spell_its_line(padding_side, chat, template):
    tokenizer = letters(padding_side=padding_side, chat_template=chat)
    prompts = fact_prompts(tokenizer, QUESTIONS, FACTS, template=template)
    assert spelt(prompts, tokenizer) == LINES
    assert (prompts.fact_of_token[prompts.inputs["attention_mask"] == 0] == -1).all()
    starts = [row[mask.bool()][0].item() for row, mask in zip(*prompts.inputs.values(), strict=True)]
    assert starts == [1, 1]  # once, whether the template or the tokenizer writes it
    assert (prompts.inputs["input_ids"] == 1).sum() == 2
    for text, question in zip(prompts.texts, QUESTIONS, strict=True):
        assert question in text
        assert text.endswith("assistant:") == (chat is not None)


@pytest.mark.parametrize(
    ("chat", "template"), [(CHAT, "{facts}{question}"), (None, "<image><image>look: {facts}{question}")]
)
def test_pictures_become_many_tokens_before_the_facts(chat, template):
    processor = llava_processor(chat)
    picture = torch.zeros(3, 16, 16, dtype=torch.uint8).numpy()
    images = [[picture, picture]] * 2
    prompts = fact_prompts(processor, QUESTIONS, FACTS, images=images, template=template)
    assert spelt(prompts, processor.tokenizer) == LINES
    assert (prompts.inputs["input_ids"] == 2).sum(1).tolist() == [8, 8]
    assert prompts.inputs["pixel_values"].shape == (4, 3, 16, 16)


def test_pictures_after_the_facts_are_refused():
    picture = torch.zeros(3, 16, 16, dtype=torch.uint8).numpy()
    with pytest.raises(ValueError, match=r"facts of prompt 0 .* Pictures must stand before facts"):
        fact_prompts(
            llava_processor(),
            ["what?"],
            [["a kite is red."]],
            images=[picture],
            template="{facts}<image>{question}",
        )


def test_tokens_that_reach_over_the_ends_of_lines_belong_to_the_line_in_which_they_begin():
    words = ["<unk>", "- a", "b\n- c", "d\n", "e"]
    tokenizer = Tokenizer(
        models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split("|", "removed")
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    prompts = fact_prompts(fast, ["|e"], [["a|b", "c|d"]], template="{facts}{question}")
    assert prompts.inputs["input_ids"].tolist() == [[1, 2, 3, 4]]
    assert prompts.fact_of_token.tolist() == [[0, 0, 1, -1]]


def test_prompts_without_facts():
    prompts = fact_prompts(letters(), QUESTIONS, [[], ["a"]])
    assert (prompts.fact_of_token[0] == -1).all()
    assert prompts.texts[0] == "Facts:\n\nwhich thing is red?"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"questions": "what?"}, "`questions` must be a list of texts"),
        (
            {"facts": ["a kite is red.", "a mug is blue."]},
            "list of sentences for each of the 2 questions; got 2 items",
        ),
        ({"facts": [["a kite is red."]]}, "list of sentences for each of the 2 questions; got 1 items"),
        ({"images": [None]}, "an item for each of the 2 questions; got 1"),
        ({"template": "{facts}"}, "{facts} and {question} once each; got '{facts}'"),
        ({"processor": letters(chat_template=STRIPPING)}, "The chat template changes the text"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_no_prompts_can_be_made_of(changes, problem):
    arguments = {"processor": letters(), "questions": QUESTIONS, "facts": FACTS} | changes
    with pytest.raises(ValueError, match=re.escape(problem)):
        fact_prompts(**arguments)


def test_a_slow_tokenizer_is_refused():
    class Slow:
        is_fast = False

    with pytest.raises(ValueError, match="Slow is none"):
        fact_prompts(Slow(), QUESTIONS, FACTS)


def test_open_facts():
    gate = torch.tensor([[0.4, 0.5, 0.9], [0.7, 1.0, 1.0]])
    assert open_facts(FACTS, gate) == [FACTS[0][1:], FACTS[1]]
    assert open_facts(FACTS, gate, min_gate=0.95) == [[], []]
    with pytest.raises(
        ValueError, match=re.escape("(2 prompts, 3 facts or more), as `facts` has; got (2, 2)")
    ):
        open_facts(FACTS, gate[:, :2])
    with pytest.raises(ValueError, match="min_gate"):
        open_facts(FACTS, gate, min_gate=2.0)


def test_from_facts_and_a_layer_to_an_answer():
    """A picture, facts and their gates: closed facts, whatever they say, leave the answer as it is."""
    processor, model = llava_processor(), tiny_vlm("llava", "sdpa")
    model.resize_token_embeddings(len(processor.tokenizer))
    model.config.image_token_id = processor.image_token_id
    layer = OutlierLayer(candidate_dim=8, context_dim=16, joint_dim=4, gate="hard").eval()
    with torch.no_grad():
        layer.gate.threshold.fill_(0.0)
    pictures = torch.randint(0, 255, (2, 3, 16, 16), dtype=torch.uint8).numpy()
    vectors, tokens, mask = (
        torch.randn(2, 3, 8),
        torch.randn(2, 4, 16),
        torch.tensor([[True] * 3, [True, False, False]]),
    )
    with torch.no_grad():
        scores = layer(vectors, context=tokens, candidate_mask=mask).score
        layer.gate.threshold.copy_(scores[0].median())
        out = layer(vectors, context=tokens, candidate_mask=mask)
    assert {0.0, 1.0} == set(out.gate[0].tolist())
    closed = out.gate[0].tolist().index(0.0)
    other = [list(FACTS[0]), list(FACTS[1])]
    other[0][closed] = FACTS[0][closed][::-1]
    answers = []
    for facts in (FACTS, other):
        prompts = fact_prompts(
            processor, QUESTIONS, facts, images=list(pictures), template="<image>{facts}{question}"
        )
        with gate_attention(model, out.log_gate, prompts.fact_of_token):
            generated = model.generate(**prompts.inputs, max_new_tokens=6, do_sample=False)
        answers.append(generated[:, prompts.inputs["input_ids"].shape[1] :])
    assert torch.equal(*answers)
