"""Characters that are drawn like an ASCII letter or digit without being one by any decomposition of Unicode.

Facts from Unicode's confusables (UTS #39) and charts; written as rows of "letter: lookalikes". Decompositions (full
width, mathematical, circled, ligatures, precomposed accents) are not listed: NFKC knows them.
"""

from __future__ import annotations


def _rows(text: str) -> dict[str, str]:
    table = {}
    for row in text.split("\n"):
        letter, _, lookalikes = row.strip().partition(" ")
        for char in lookalikes.replace(" ", ""):
            table[char] = letter
    return table


def _run(first: int, letters: str) -> dict[str, str]:
    return {chr(first + place): letter for place, letter in enumerate(letters)}


_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LOWER = _UPPER.lower()

SCRIPTS = _rows("""\
    a аαәⲁ
    b Ььвβƅ
    c сϲⲥ
    d ԁժ
    e еёѐєεҽ
    f ғքϝ
    g ցԍ
    h һհн
    i іїιⲓӀ
    j јյ
    k кκⲕ
    l ӏⵏ
    m мⲙ
    n пηոռ
    o оοօσⲟ
    p рρⲣ
    q ԛզգ
    r гⲅ
    s ѕտ
    t тτ
    u υսμ
    v ѵνⱱ
    w ԝшωա
    x хχⲭ
    y уүγ
    z ᴢ
    A АΑᎪꓮⲀ
    B ВΒᏴꓐⲂ
    C СϹᏟꓚⲤ
    D ᎠꓓԀ
    E ЕЁΕᎬꓰ
    F ϜꓝҒ
    G ԌᏀꓖ
    H НΗᎻꓧⲎ
    I ІΙӏꓲⲒ
    J ЈͿᎫꓙ
    K КΚᏦꓗⲔ
    L ᏞꓡԼ
    M МΜᎷꓟⲘ
    N Νꓠ
    O ОΟՕꓳⲞ
    P РΡᏢꓑⲢ
    Q Ԛ
    R ᎡᏒꓣЯ
    S ЅՏᏚꓢ
    T ТΤᎢꓔⲦ
    U ՍꓴԱ
    V ѴᏙꓦ
    W ԜᎳꓪ
    X ХΧꓫⲬ
    Y УΥҮꓬ
    Z ΖᏃꓜ
    3 ЗӠ
    a ꭺ
    b ꮟ
    c ꮯ
    d ꭰ
    e ꭼ
    h ꮋ
    k ꮶ
    m ꮇ
    o ჿ
    s ꮪ
    t ꭲ
    v ꮩ
    w ꮃ
    z ꮓ
""")
"""Letters of other scripts: innocent in their own words, folded only where they stand among Latin ones."""

LATIN = _rows("""\
    a ɑᴀⱥ
    b ɓʙƀ
    c ƈᴄȼ
    d ɖɗᴅđ
    e ɛᴇɇǝə
    f ƒꜰ
    g ɠɡɢǥ
    h ɦʜħ
    i ɩɪıɨ
    j ʝᴊɉȷ
    k ƙᴋ
    l ɭʟłƚɫ
    m ɱᴍ
    n ɲɴŋƞ
    o ɵᴏø
    p ƥᴘ
    q ʠɋ
    r ɽʀɍ
    s ʂꜱȿ
    t ƭᴛŧʈ
    u ʉᴜ
    v ʋᴠ
    w ᴡⱳ
    y ʏƴɏ
    z ʐƶȥ
    A Ⱥ
    B ɃƁ
    C ȻƇ
    D ĐƉƊ
    E Ɇ
    F Ƒ
    G ƓǤ
    H Ħ
    I Ɨ
    J Ɉ
    K Ƙ
    L ŁȽ
    N ƝŊ
    O ØƟ
    P Ƥ
    R Ɍ
    T ŦƬ
    U Ʉ
    V Ʋ
    Y ƳɎ
    Z ƵȤ
""")
"""Letters of the Latin script with strokes, hooks and tails, and small capitals."""

ENCLOSED = (
    _run(0x249C, _LOWER)
    | _run(0x1F110, _UPPER)
    | _run(0x1F150, _UPPER)
    | _run(0x1F170, _UPPER)
    | _run(0x1F1E6, _UPPER)
    | _run(0x2776, "123456789")
    | _run(0x2780, "123456789")
    | _run(0x278A, "123456789")
)
"""Letters in parentheses, in filled circles and squares, regional indicators, dingbat digits."""

FLIPPED = _rows("""\
    a ɐ
    b q
    c ɔ
    d p
    e ǝ
    f ɟ
    g ƃᵷ
    h ɥ
    i ᴉı
    j ɾ
    k ʞ
    l ןꞁ
    m ɯ
    n u
    p d
    q b
    r ɹ
    t ʇ
    u n
    v ʌ
    w ʍ
    y ʎ
    A ∀
    E Ǝ
    F Ⅎ
    G ⅁פ
    J ſ
    L ˥
    M W
    P Ԁ
    T ┴
    U ∩
    V Λ
    W M
    Y ⅄
    ? ¿
    ! ¡
    . ˙
""")
"""Letters turned upside down; such a text is read from its end."""
