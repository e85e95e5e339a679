/* SPDX-License-Identifier: Apache-2.0 */
/* complete.c: completion in shells. `oakum completion bash` prints a script that asks, at each Tab,
 * `oakum __complete WORD ...`, so that it knows what this version knows, and the keys there are. */
#include "cli/internal.h"
#include "ctl/ctl.h"

static const char bash_script[] =
    "# Completion of oakum for bash: source <(oakum completion bash)\n"
    "_oakum() {\n"
    "    local IFS=$'\\n' cur=${COMP_WORDS[COMP_CWORD]}\n"
    "    COMPREPLY=($(compgen -W \"$(\"${COMP_WORDS[0]}\" __complete "
    "\"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null | cut -f1)\" -- \"$cur\"))\n"
    "}\n"
    "complete -o default -F _oakum oakum\n";

static const char zsh_script[] =
    "#compdef oakum\n"
    "# Completion of oakum for zsh: oakum completion zsh > \"${fpath[1]}/_oakum\"\n"
    "_oakum() {\n"
    "    local line\n"
    "    local -a found\n"
    "    for line in \"${(@f)$(${words[1]} __complete \"${(@)words[2,CURRENT]}\" 2>/dev/null)}\"; "
    "do\n"
    "        found+=(\"${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}\")\n"
    "    done\n"
    "    _describe oakum found || _files\n"
    "}\n"
    "if [ \"${funcstack[1]}\" = _oakum ]; then _oakum; else compdef _oakum oakum; fi\n";

static const char fish_script[] =
    "# Completion of oakum for fish: oakum completion fish > "
    "~/.config/fish/completions/oakum.fish\n"
    "function __oakum_words\n"
    "    set -l found (oakum __complete (commandline -opc)[2..] (commandline -ct) 2>/dev/null)\n"
    "    if test (count $found) -gt 0\n"
    "        printf '%s\\n' $found\n"
    "    else\n"
    "        __fish_complete_path (commandline -ct)\n"
    "    end\n"
    "end\n"
    "complete -c oakum -f -a '(__oakum_words)'\n";

int cli__completion(int argc, char *const *argv)
{
    static const struct {
        const char *shell;
        const char *script;
    } scripts[] = {{"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}};
    const struct oak_args_command command = {
        .name = "completion",
        .summary = "Print the script that completes commands, flags and keys in a shell.",
        .operands = "bash|zsh|fish",
        .operands_max = 1,
        .more = "Examples:\n"
                "  source <(oakum completion bash)\n"
                "  oakum completion zsh > \"${fpath[1]}/_oakum\"\n"
                "  oakum completion fish > ~/.config/fish/completions/oakum.fish\n",
    };
    const char *shell = NULL;
    size_t count;
    char *const *rest;
    int code;
    if (!oak_args_parse(&command, argc, argv, &shell, &count, &rest, &code)) {
        return code;
    }
    for (size_t i = 0; count == 1 && i < OAK_COUNT_OF(scripts); i++) {
        if (strcmp(shell, scripts[i].shell) == 0) {
            fputs(scripts[i].script, stdout);
            return CLI__EXIT_OK;
        }
    }
    return oak_args_complain(&command, CLI__EXIT_MISUSED, "it is bash, zsh or fish");
}

static void word_print(void *user, const char *word, const char *summary)
{
    (void)user;
    printf("%s\t%s\n", word, summary);
}

/* Some of its words are verbs of etcdctl. */
static void snapshot_complete(int argc, char *const *argv)
{
    static char flag[] = OAK_ARGS_DESCRIBE;
    char *words[] = {argv[1], flag, NULL};
    if (argc > 2 && strcmp(argv[1], "restore") == 0) {
        if (argv[argc - 1][0] == '-') {
            (void)cli__snapshot_restore(2, words);
        }
        return;
    }
    if (argc == 2) {
        word_print(NULL, "restore", "make a data directory of a snapshot");
    }
    oak_ctl_complete(argc, argv);
}

/* Words of one of our own commands, from its name on. */
static void words_print(const struct cli__entry *entry, int argc, char *const *argv)
{
    static char flag[] = OAK_ARGS_DESCRIBE;
    char *words[] = {argv[0], flag, NULL};
    if (strcmp(argv[0], "completion") == 0) {
        puts("bash\nzsh\nfish");
    } else if (strcmp(argv[0], "snapshot") == 0) {
        snapshot_complete(argc, argv);
    } else if (argv[argc - 1][0] == '-' && entry->has_flags) {
        entry->run(2, words);
    }
}

int cli__complete(const struct cli__entry *commands, size_t command_count, int argc,
                  char *const *argv)
{
    int at = oak_ctl_options_skip(argc, argv, 1);
    bool help = at + 2 == argc && strcmp(argv[at], "help") == 0;
    bool value = argc > 2 && at >= argc && strchr(argv[argc - 2], '=') == NULL;
    bool first = help || (at + 1 >= argc && !value);
    for (size_t i = 0; i < command_count; i++) {
        if (first) {
            word_print(NULL, commands[i].name, commands[i].summary);
        } else if (at < argc && strcmp(argv[at], commands[i].name) == 0) {
            words_print(&commands[i], argc - at, argv + at);
            return CLI__EXIT_OK;
        }
    }
    if (first) {
        oak_ctl_words_each(NULL, word_print, NULL);
    } else {
        oak_ctl_complete(argc - 1, argv + 1);
    }
    return CLI__EXIT_OK;
}
