"""Thirty short abstracts on other subjects than efficiency, written for these tests: about no real paper.

The first eight speak of energy, memory, latency, scaling, efficiency or training and mean something else by it.
"""

ABSTRACTS: tuple[tuple[str, str], ...] = (
    (
        "Working memory load and response latency in bilingual children",
        "We measured response latency and working memory in eighty bilingual children. Higher memory load "
        "increased latency by 12 % in both languages; training with games reduced the difference. The results "
        "bear on models of attention.",
    ),
    (
        "Household energy costs after a carbon tax",
        "A carbon tax raised energy costs of rural households by 9 % and emissions fell. We study who bears "
        "the burden, and which rebates keep the budget of poor households. Power consumption by night moved "
        "least.",
    ),
    (
        "Are emerging stock markets efficient? Evidence from bandwidth choice",
        "The efficient market hypothesis is tested for nine exchanges with kernel estimators. Results depend "
        "on the bandwidth of the kernel. Inefficient pricing persists longer where trading costs are high.",
    ),
    (
        "Interval training and running economy of older athletes",
        "Twelve weeks of interval training improved running economy of older athletes by 4 % over continuous "
        "training. Oxygen consumption at a fixed speed fell. Faster recovery was reported, and injuries were "
        "rare.",
    ),
    (
        "Scaling laws of metabolism across mammals revisited",
        "Metabolic rate scales with mass to a power whose value is debated. With 900 species we find that the "
        "exponent differs between clades, and that transport networks explain less of the scaling than was "
        "thought.",
    ),
    (
        "Compression of the lumbar spine in helicopter pilots",
        "Vibration compresses the spine. In a study of sixty pilots, seat design reduced peak load by 18 % "
        "compared to older seats. Hardware of the seat and posture both matter; fatigue was assessed by "
        "questionnaire.",
    ),
    (
        "Sample-efficient exploration with unknown rewards",
        "We give an algorithm that learns a near-optimal policy with a number of samples polynomial in the "
        "horizon. The analysis improves earlier regret bounds by a factor of the horizon and holds for linear "
        "function approximation.",
    ),
    (
        "Accelerated evolution of a gene family in deep-sea fish",
        "Genes for pressure tolerance show accelerated evolution. Parallel substitutions in four lineages "
        "point to the same bottleneck. Distributed sampling over depths allowed a test that earlier data "
        "could not resolve.",
    ),
    (
        "A corpus of medieval charters with named entities",
        "We present a corpus of nine thousand Latin charters annotated with persons, places and dates by "
        "historians. Baselines for named entity recognition are given, and difficulties of abbreviations and "
        "spelling are discussed.",
    ),
    (
        "Theory of mind in children's stories told by machines",
        "Stories written by language models are compared with those of children for mentions of beliefs and "
        "desires. Readers found the former fluent but flat. We propose annotation guidelines for mental state "
        "language.",
    ),
    (
        "Gravitational lensing by wandering black holes",
        "Wandering massive black holes in galaxy haloes act as weak lenses. We compute their optical depth "
        "and forecast the number of events that a survey of quasars would see in ten years under three "
        "formation scenarios.",
    ),
    (
        "Existence of equilibria in games with ambiguous types",
        "We study Bayesian games in which players hold sets of priors. An equilibrium exists under a weak "
        "continuity condition, and refinements select the outcome in which information is disclosed. Auctions "
        "serve as an example.",
    ),
    (
        "Protein language models and the evolution of venom",
        "Embeddings of toxin sequences from snakes and cone snails cluster by target receptor rather than by "
        "lineage. The finding supports convergent evolution, and suggests candidate residues for mutagenesis "
        "experiments.",
    ),
    (
        "Fairness of credit decisions under shifting populations",
        "Fairness constraints that hold on training data may fail after deployment. We characterise the "
        "shifts for which demographic parity is preserved and give a test that regulators can apply with "
        "access to decisions only.",
    ),
    (
        "Teaching robots table manners by imitation",
        "A robot learns from demonstrations to pass dishes and to wait for its turn. Social conventions are "
        "represented as soft constraints on motion. Participants rated the learned behaviour as more "
        "considerate than a scripted one.",
    ),
    (
        "Emergent grammar in agents that barter",
        "Two agents that exchange goods develop a signalling language with word order. We analyse which "
        "pressures make the order emerge and find that ambiguity of the goods matters more than the size of "
        "the vocabulary.",
    ),
    (
        "Soil microbes and the recovery of burnt heathland",
        "We sequenced soil samples for four years after a fire. Fungal communities recovered more slowly than "
        "bacteria, and their composition predicted which shrubs returned. Management should avoid ploughing "
        "in the first years.",
    ),
    (
        "Hallucinated citations in scholarly question answering",
        "Answers of chat models often cite articles that do not exist. We check forty thousand references, "
        "describe patterns of invention, and show that asking for quotations lowers the share of false ones "
        "without removing them.",
    ),
    (
        "A note on the chromatic number of circle graphs",
        "We improve the upper bound for the chromatic number of circle graphs in terms of their clique "
        "number, by a new argument on nested chords. The bound is tight up to a logarithm.",
    ),
    (
        "Emotion in spoken dialogue with elderly people",
        "We record conversations of elderly people with a spoken assistant and annotate emotions. Models "
        "trained on acted speech transfer poorly. Prosody and word choice complement each other for the "
        "recognition of loneliness.",
    ),
    (
        "Watermarks for generated text and their removal",
        "Watermarks mark generated text by biased sampling. We show that paraphrasing removes them while "
        "meaning is kept, and derive conditions under which any watermark that preserves quality can be "
        "removed by an adversary.",
    ),
    (
        "Understanding induction heads through toy languages",
        "We train small transformers on toy languages and trace how induction heads form. A phase change "
        "appears when repeated bigrams become frequent. Ablations locate the circuit, and a theory predicts "
        "when it appears.",
    ),
    (
        "Migration and wages in small coastal towns",
        "Using registers of three countries, we estimate how arrivals change wages in small towns. Effects "
        "are small on average and positive for trades with shortages. An instrument from historical ferry "
        "lines supports the result.",
    ),
    (
        "Text-guided editing of music",
        "We describe a model that edits recordings by instruction: a violin becomes a flute, a march slows to "
        "a waltz. Listeners judged melody preservation and naturalness. We discuss copyright and consent of "
        "performers.",
    ),
    (
        "Superconductivity near a nematic transition in thin films",
        "We measure transport in thin films tuned through a nematic transition by strain. The critical "
        "temperature peaks where nematic fluctuations are strongest. The anisotropy of the upper critical "
        "field supports a common origin.",
    ),
    (
        "Preference learning from inconsistent annotators",
        "Human preferences disagree. We model annotators as mixtures with differing values and show that "
        "reward models which average them satisfy nobody. Our estimator recovers groups and yields policies "
        "that each group accepts.",
    ),
    (
        "Counterfactual explanations that patients understand",
        "Explanations of risk scores should be understood by patients. We interview sixty patients about "
        "counterfactual statements and derive design rules. Statements about actions that they control were "
        "preferred.",
    ),
    (
        "Monsoon onset from tropical wave activity",
        "The onset of the monsoon varies by weeks. We relate it to wave activity over the ocean in "
        "observations and reanalysis, and find that two wave modes explain most of the variance at a lead of "
        "ten days.",
    ),
    (
        "Multilingual sarcasm and how models miss it",
        "Sarcasm depends on culture. We gather sarcastic posts in seven languages with explanations by native "
        "speakers. Current models detect cues of punctuation but miss allusions; explanations help in some "
        "languages only.",
    ),
    (
        "Formal verification of a voting protocol",
        "We specify a remote voting protocol in a proof assistant and verify ballot secrecy and individual "
        "verifiability. The proof found an ambiguity in the published description, which its authors have "
        "since corrected.",
    ),
)
