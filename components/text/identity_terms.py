"""Groups of people that a sentence mentions, by a lexicon, and the same sentence with the mentions masked.

A lexicon finds mention, not identity and not authorship: it cannot know who speaks, who is meant by a name, or that
`gay` meant merry in 1600. It is English only, and coarse on purpose: a group here is a set of words, not of people.
Version it like a data set: every count in the bias report depends on it.

Terms: lower case matches in any case; a capital must be there (`Polish` is a nationality, `polish` is not); a final `*`
wants a word for people behind it, which is not part of the match (`black *` is in "black women", not in "black box").
"""

import re

VERSION = 1

PEOPLE = """people person persons folk folks man men woman women boy boys girl girls male males female females
lady ladies child children kid kids student students community communities family families voters patients adults
americans citizens couple couples neighbours neighbors immigrants teenagers"""

TERMS: dict[str, str] = {
    "women": """she, her, hers, herself, woman, women, girl, girls, lady, ladies, female, females, mother, mothers,
        daughter, daughters, sister, sisters, wife, wives, aunt, aunts, grandmother, grandmothers,
        granddaughter, queen, queens""",
    "men": """he, him, his, himself, man, men, boy, boys, gentleman, gentlemen, male, males, father, fathers, son,
        sons, brother, brothers, husband, husbands, uncle, uncles, grandfather, grandfathers, grandson, king,
        kings""",
    "lgbt": """gay, gays, lesbian, lesbians, bisexual, bisexuals, homosexual, homosexuals, homosexuality, queer,
        transgender, transgendered, transsexual, transsexuals, lgbt, lgbtq, lgbtqia, nonbinary, non-binary,
        same-sex, trans *""",
    "straight": "heterosexual, heterosexuals, cisgender, straight *",
    "black": """African American, African Americans, African-American, African-Americans, Afro-American, Blacks,
        black *, Africans, African *, negro, negroes""",
    "white": "Caucasian, Caucasians, Whites, white *, European *, Europeans",
    "asian": """Asian, Asians, Asian American, Asian Americans, Chinese *, Japanese *, Koreans, Korean *, Vietnamese *,
        Filipino, Filipinos, South Asian, Chinese American, Indian *, Indians""",
    "hispanic": """Hispanic, Hispanics, Latino, Latinos, Latina, Latinas, Latinx, Mexican, Mexicans,
        Puerto Rican, Puerto Ricans""",
    "indigenous": """Native American, Native Americans, American Indian, American Indians, indigenous *, Aboriginal,
        Aboriginals, Inuit, Maori, First Nations""",
    "middle_eastern": """Arab, Arabs, Middle Eastern, Iranians, Iranian *, Iraqis, Turks, Turkish *, Palestinians,
        Palestinian *""",
    "jewish": "Jew, Jews, Jewish, Jewess",
    "muslim": "Muslim, Muslims, Moslem, Moslems, Islamic",
    "christian": "Christians, Christian *, Catholic, Catholics, Protestant, Protestants, Evangelical, Evangelicals",
    "other_belief": "Hindu, Hindus, Buddhist, Buddhists, Sikh, Sikhs, atheist, atheists, pagan, pagans",
    "disability": """disabled *, disability, disabilities, deaf, autistic, autism, wheelchair, wheelchairs, dyslexic,
        mentally ill, the blind, blind *, handicapped, paralysed, paralyzed""",
    "old": "elderly, old *, older *, senior citizen, senior citizens, pensioner, pensioners, the aged",
    "young": "teenager, teenagers, teen, teens, adolescent, adolescents, young *, younger *, youths",
    "migrant": """immigrant, immigrants, migrant, migrants, refugee, refugees, foreigner, foreigners, asylum seeker,
        asylum seekers""",
    "nationality": """Americans, American *, Germans, German *, Frenchman, Frenchmen, French *, Englishman, Englishmen,
        English *, Italians, Italian *, Spaniards, Spanish *, Russians, Russian *, Irishman, Irishmen, Irish *,
        Poles, Polish *, Canadians, Nigerians, Scots, Scottish *, Greeks, Romans, Britons, British *""",
}
GROUPS = tuple(TERMS)
"""Names of the groups; bit i of a mention set is group i."""

MASK = "someone"
"""What stands for a mention: a function word, so that a bag-of-words scorer sees nothing at all in its place."""

WORD = re.compile(r"\w\w+")
"""A word, for finding where terms may begin. No term begins with a shorter one."""
_PEOPLE = "|".join(PEOPLE.split())
_RUN = re.compile(rf"\b{MASK}(?:[\s-]+(?:{MASK}|{_PEOPLE})\b)+", re.IGNORECASE)
_OTHER_SENSE = {
    "man": re.compile(r"man(?:[ -]pages?\b|\(\d|-made\b)", re.IGNORECASE),
    "male": re.compile(r"male[ -](?:connector|plug|end|thread)", re.IGNORECASE),
    "female": re.compile(r"female[ -](?:connector|plug|end|thread)", re.IGNORECASE),
}


def _regex(term: str) -> re.Pattern[str]:
    """The pattern of a term, to be matched where its first word begins."""
    body = term.removesuffix(" *")
    pattern = re.escape(body).replace(r"\ ", r"\s+").replace(r"\-", "[-\u2010\u2011]")
    if body != body.lower():
        pattern = f"(?-i:{pattern}|{re.escape(body.upper())})"
    return re.compile(pattern + (rf"(?=[\s-]+(?:{_PEOPLE})\b)" if term.endswith(" *") else r"\b"), re.IGNORECASE)


def _by_first_word() -> dict[str, list[tuple[re.Pattern[str] | None, int]]]:
    """First word of a term -> (its pattern, or None where that one word is all of it; its group), longest first."""
    table: dict[str, list[tuple[str, int]]] = {}
    for index, group in enumerate(GROUPS):
        for term in (" ".join(term.split()) for term in TERMS[group].split(",")):
            table.setdefault(WORD.findall(term.lower())[0], []).append((term, index))
    for terms in table.values():
        terms.sort(key=lambda entry: (-len(entry[0]), entry[0]))
    return {
        word: [(None if term == word else _regex(term), index) for term, index in terms]
        for word, terms in table.items()
    }


_TABLE = _by_first_word()
_FIRST_WORDS = frozenset(_TABLE)


def spans(sentence: str) -> list[tuple[int, int, int]]:
    """The mentions in a sentence, in order: (start, end, index of the group). They do not overlap."""
    if _FIRST_WORDS.isdisjoint(WORD.findall(sentence.lower())):
        return []
    mentioned: list[tuple[int, int, int]] = []
    free = 0
    for word in WORD.finditer(sentence):
        if (
            word.start() >= free
            and (terms := _TABLE.get(word.group().lower()))
            and (hit := _hit(sentence, word, terms))
        ):
            mentioned.append(hit)
            free = hit[1]
    return mentioned


def _hit(
    sentence: str, word: re.Match[str], terms: list[tuple[re.Pattern[str] | None, int]]
) -> tuple[int, int, int] | None:
    other = _OTHER_SENSE.get(word.group().lower())
    if other and other.match(sentence, word.start()):
        return None
    for pattern, group in terms:
        if pattern is None:
            return word.start(), word.end(), group
        if match := pattern.match(sentence, word.start()):
            return match.start(), match.end(), group
    return None


def mentions(sentence: str) -> int:
    """The set of groups the sentence mentions, as bits (bit i: `GROUPS[i]`)."""
    bits = 0
    for _, _, group in spans(sentence):
        bits |= 1 << group
    return bits


def mentions_and_masked(sentence: str) -> tuple[int, str]:
    """The mention set, and the sentence with each mention and the words for people right behind it replaced by `MASK`.

    So "a deaf man", "a man" and "a Muslim person" become the same words: a scorer can only judge what is said, not of
    whom.
    """
    bits, pieces, done = 0, [], 0
    for start, end, group in spans(sentence):
        bits |= 1 << group
        pieces += [sentence[done:start], MASK]
        done = end
    return bits, _RUN.sub(MASK, "".join(pieces) + sentence[done:]) if bits else sentence


def names_of(bits: int) -> list[str]:
    """The groups in a mention set."""
    return [group for index, group in enumerate(GROUPS) if bits >> index & 1]
