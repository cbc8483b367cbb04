# What zsh offers at the end of a line:  zsh -f complete.zsh FOLDER-OF-COMPLETIONS 'hostcheck --pol'
# A shell of its own on a pseudo-terminal completes it, in which compadd tells what it is given.
zmodload zsh/zpty || exit 1
zpty z zsh -f -i
zpty -w z "PS1=; fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D
comppostfuncs=(exit)
bindkey '^I' complete-word
compadd () {
  if [[ \${@[1,(i)(-|--)]} != *-(O|A|D)\\ * ]]; then
    typeset -a offered; builtin compadd -A offered \"\$@\"
    local each; for each in \$offered; do echo -E - \"OFFERED \$each\"; done
  fi
  builtin compadd \"\$@\"
}
echo re''ady"
zpty -r z line '*ready*'
zpty -w z "$2"$'\t'
while zpty -r z line; do [[ $line == *OFFERED* ]] && print -r -- ${line##*OFFERED }; done
exit 0
