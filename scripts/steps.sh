# Steps of checks, for scripts that source this: every step runs, so that one failure does not hide another.
# shellcheck shell=bash

failed=()

# Whoever reaches for the network at run time fails in a check.
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_PROGRESS_BAR=off PYTHONUNBUFFERED=1

# step TITLE COMMAND...
step() {
    local title=$1 started=$SECONDS
    shift
    printf '\n===== %s =====\n' "$title"
    if "$@" </dev/null; then
        printf -- '----- %s: passed in %d s\n' "$title" $((SECONDS - started))
    else
        printf -- '----- %s: FAILED after %d s\n' "$title" $((SECONDS - started))
        failed+=("$title")
    fi
}

# What failed; the exit status says whether nothing did.
summary() {
    printf '\n===== Summary after %d s =====\n' "$SECONDS"
    if ((${#failed[@]})); then
        printf 'FAILED: %s\n' "${failed[@]}"
        return 1
    fi
}

# What is checked without running the tests; the extra `dev` has to be installed.
static_checks() {
    step "Lint" ruff check .
    step "Format" ruff format --check .
    step "Types" pyright
    step "Import rules" lint-imports
    step "Sizes" python scripts/check_size.py
    step "Words" python scripts/check_words.py
    step "Page of commands" python scripts/command_page.py --check
}
