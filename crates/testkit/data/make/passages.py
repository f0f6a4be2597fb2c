"""The 200 texts for the real all-MiniLM-L6-v2, written for this project."""

from texts import VARIED

ENGLISH = """\
The ferry leaves the harbour at six and reaches the island before the bakery opens.
She tuned the old guitar by ear and played until the neighbours knocked on the wall.
Share prices fell sharply after the central bank raised its rate by half a point.
Knead the dough for ten minutes, then let it rest under a damp cloth until it has doubled.
A river otter can hold its breath for about eight minutes while it hunts for crayfish.
How do I reset the password of an account that I can no longer open?
The compiler rejects the program because the borrowed value does not live long enough.
Our flight was delayed twice, so we spent the night on the floor of the departure hall.
Water boils at a lower temperature on a mountain because the air pressure is lower there.
The museum keeps a small collection of clocks that were made by hand in the last century.
He planted tomatoes along the south wall, where the bricks give back their warmth at night.
Which of the two routes is shorter when the bridge is closed?
The committee agreed on a budget, but nobody wanted to say what would be cut.
Bees find their way home by the position of the sun, even when clouds hide it.
The patch fixes a memory leak in the connection pool and adds a test for it.
A good index makes the query faster and every insert a little slower.
In autumn the forest smells of mushrooms, wet leaves and smoke from the valley.
The referee blew the whistle two minutes early and had to apologise to both teams.
Store the vaccine between two and eight degrees and never freeze it.
My grandmother wrote her recipes on the backs of envelopes.
The telescope needs an hour to cool down before the stars stop shimmering.
Why does bread go stale faster in the refrigerator?
The contract ends on the last day of March unless one of the parties renews it in writing.
Sailors used to predict storms from the behaviour of birds and the colour of the evening sky.
The train to the coast was so full that people sat on their suitcases.
Encrypt the backup before you upload it, and keep the key somewhere else.
A violin has four strings tuned in fifths; a bass has them tuned in fourths.
Rust was found on the bolts of the third pillar, so the inspection was repeated.
The library lends seeds as well as books: bring back some of what you harvest.
Two thirds of the voters stayed at home because of the snow.
The cat watched the washing machine as if it were the evening news.
Explain the difference between a stack and a heap to someone who has never programmed.
The glacier has lost forty metres of its length since the hut was built.
Add a pinch of salt to the chocolate; it tastes sweeter for it.
The judge asked the witness to repeat the last sentence more slowly.
Wind turbines stand still when the wind is too weak, and also when it is too strong.
Nobody noticed that the painting had been hanging upside down for eleven years.
The new bus line connects the hospital with the university in fourteen minutes.
A vector database answers the question which stored items are closest to a query.
The children built a dam of sticks and mud and were proud when it held overnight.
Please find attached the invoice for the repair of the roof.
Copper turns green in the rain, and that layer protects the metal below.
The marathon starts at nine; bags can be handed in until half past eight.
She learned the names of forty birds by their songs before she could see any of them.
If the light blinks red twice, replace the battery; if it blinks three times, call the service.
Moss grows on the shaded side of the trunk, which is not always the north side.
The second edition corrects a mistake in the proof of the main theorem.
They argued about the map until it was too dark to read it.
The price of coffee depends on the weather in three or four countries.
A sonnet has fourteen lines, and most poets have broken that rule at least once.
""".splitlines()

GERMAN = """\
Der letzte Zug fährt kurz vor Mitternacht, danach hilft nur noch ein Taxi.
Frisch gemahlener Kaffee duftet durch das ganze Treppenhaus.
Die Brücke wurde gesperrt, weil ein Pfeiler Risse zeigt.
Wie lange muss ein Hefeteig gehen, bevor er in den Ofen kommt?
Übermäßige Größe schützt nicht vor Überraschungen.
Im Herbst ziehen Kraniche in großen Keilen über das Moor.
Die Übersetzung des Vertrags ist fertig, nur die Unterschrift fehlt noch.
Ein gutes Fahrrad braucht Öl, Luft und ab und zu einen Blick auf die Bremsen.
Das Museum für Uhren zeigt eine Sonnenuhr, die auch bei Bewölkung etwas anzeigt: nichts.
Der Compiler meldet einen Fehler in Zeile zwölf, gemeint ist Zeile elf.
Wer im Glashaus sitzt, sollte an das Gießen denken.
Straßenbahnen haben Vorfahrt, auch wenn sie klingeln müssen.
Die Donaudampfschifffahrtsgesellschaft sucht einen Kapitän.
Heute Nachmittag Gewitter, morgen wieder Sonnenschein.
Seine Großmutter spielte jeden Abend Akkordeon.
""".splitlines()

OTHER_LANGUAGES = """\
Le boulanger ouvre sa boutique avant que le soleil ne se lève.
Où avez-vous garé la voiture, près de l'église ou derrière le marché ?
L'été dernier, nous avons traversé les Alpes à vélo.
Ça coûte cher, mais ça dure longtemps.
El río crece en primavera cuando se derrite la nieve de la sierra.
¿Cuánto tarda el autobús desde el aeropuerto hasta el centro?
Mañana por la mañana habrá niebla en la costa.
La niña encontró una concha más grande que su mano.
La nonna impasta la pizza a mano e non usa mai la bilancia.
Il treno per Torino parte dal binario sette.
Perché il mare è salato e i laghi no?
O barco voltou ao porto antes da tempestade.
As maçãs estão mais caras do que no ano passado.
De fiets staat tegen de muur van de oude molen.
Wat kost een kaartje naar het strand?
Tåget är försenat på grund av snö på spåret.
Bjørnen sover hele vinteren og våkner sulten.
Kolme kissaa nukkuu uunin päällä.
W sobotę pójdziemy na grzyby, jeśli nie będzie padać.
Żółta łódź płynie wzdłuż rzeki.
Příští vlak jede až zítra ráno.
A könyvtár hétfőn zárva van.
Trenul de noapte ajunge dimineața la mare.
Yarın sabah erkenden pazara gidip taze incir alacağız.
İstanbul'da kar yağınca vapurlar durur.
Поезд прибывает на третий путь через пять минут.
Бабушка варит варенье из чёрной смородины.
Где находится ближайшая аптека?
Книга лежала на столе, раскрытая на середине.
Завтра буде дощ, візьми парасольку.
Влакът закъснява с един час.
Η θάλασσα ήταν ήρεμη και το καράβι έφτασε νωρίς.
Πού είναι το φαρμακείο;
הספרייה סגורה ביום שבת.
הקפה כאן חזק מאוד.
القطار يصل إلى المحطة بعد عشر دقائق.
أين أقرب صيدلية من هنا؟
الشمس تشرق من الشرق وتغرب في الغرب.
قطار شب صبح زود به شهر می‌رسد.
नदी के किनारे एक पुराना मंदिर है।
कल सुबह बारिश होगी, छाता ले जाना।
আজ বিকেলে ঝড় আসতে পারে।
ரயில் ஐந்து நிமிடத்தில் வரும்.
รถไฟขบวนสุดท้ายออกตอนเที่ยงคืน
Chuyến tàu cuối cùng rời ga lúc nửa đêm.
Kereta malam tiba di kota pada pagi hari.
图书馆星期一不开门。
请问去火车站怎么走？
这座桥是一百年前用石头建的。
圖書館在河的對岸。
明日の朝、駅の前で会いましょう。
このパンは焼きたてで、とてもおいしいです。
ラーメンとコーヒーを一つずつください。
내일 아침 일찍 시장에 가서 사과를 살 거예요.
도서관은 월요일에 쉽니다.
""".splitlines()

FORMS = [
    "fn main() { println!(\"{}\", [1, 2, 3].iter().sum::<i32>()); }",
    "SELECT id, name FROM users WHERE created_at > '2024-01-01' ORDER BY name LIMIT 10;",
    "def mean(xs):\n    return sum(xs) / len(xs)\n",
    '{"query": "sea level", "top_k": 5, "filters": null, "scores": [0.25, -1e-3]}',
    "<p class=\"note\">Hello, <b>world</b> &amp; friends</p>",
    "# Title\n\n- one\n- two\n\n> a quotation\n",
    "https://example.org/path/to/page?id=42&lang=de#section-3",
    "someone@example.org",
    "C:\\Users\\name\\file.txt",
    "3.14159265358979 2.71828 1/3 50% €99.95 £5 ¥1000",
    "2024-02-29T23:59:60Z",
    "E = mc², H₂O, x ≤ y ⇒ ∀ε>0 ∃δ",
    "½ ¾ № ™ ® © § ¶ † ‡ … — – ‘ ’ “ ”",
    "ALL CAPITAL LETTERS SHOUT",
    "cAmElCaSe and snake_case and kebab-case",
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    "!!!???...,,,;;;:::",
    "()[]{}<>/\\|@#$%^&*_+=~`",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z",
    "0 1 2 3 4 5 6 7 8 9 10 11 12",
    "🙂",
    "🇩🇪🇫🇷🏳️\u200d🌈 flags",
    "👩🏾\u200d🚀 in space 🚀🌍",
    "zero\u200bwidth\u200cjoiners\u200d here\ufeff",
    "soft\u00adhyphen and no\u00a0break space",
    "right \u202eto left\u202c override",
    "\u0007\u0008\u001b[31mred\u001b[0m",
    "line\u2028separator and paragraph\u2029separator",
    "vertical\u000btab and form\u000cfeed and next\u0085line",
    "Z\u0335\u0321\u035d\u0300a\u0338\u0322l\u0334g\u0337o\u0336",
    "ﬁne ﬂuff ﬀ ligatures",
    "ⒶⒷⒸ ①②③ 𝒜𝒷𝒸 𝟘𝟙𝟚",
    "\ud7ff\ue000\ufffd\U0010fffd",
    "Ω Ω K K Å Å",
    "ǅ ß ẞ ſ ı İ",
    "[UNK] [PAD] [CLS] [SEP] [MASK] [mask]",
    "##ing ##ed",
]

LONG = [
    {"repeat": "word ", "times": 10_000},
    {"repeat": "The ferry leaves the harbour at six. ", "times": 300},
    {"repeat": "dog ", "times": 509},
    {"repeat": "dog ", "times": 510},
    {"repeat": "dog ", "times": 511},
    {"repeat": "dog ", "times": 254},
    {"repeat": "dog ", "times": 126},
    {"repeat": "漢字", "times": 300},
    {"repeat": "مرحبا ", "times": 200},
    {"repeat": "😀", "times": 600},
    {"repeat": "a", "times": 100},
    {"repeat": "a", "times": 101},
    {"repeat": "\n", "times": 5_000},
    {"repeat": "[SEP]", "times": 700},
]

PASSAGES = VARIED + LONG + FORMS + ENGLISH + GERMAN + OTHER_LANGUAGES
