"""The command's flags, in one place; `vie_tf.rules` says which go together."""

from __future__ import annotations

from absl import flags

MODES = "pretrain finetune look knn embed retrieve readout report export import_checkpoint".split()
AUGMENTATIONS = (
    *("colour_noise", "multi_scale", "random_sized", "simclr", "imagenet"),
    *("opn", "opn_apart", "rotnet"),
)
WITH_BANK = ("ir", "la", "vie")  # losses
FLAGS = flags.FLAGS

flags.DEFINE_enum("mode", "pretrain", MODES, "What to do.")
flags.DEFINE_string("data", None, "Prepared videos, a folder of videos, or a CSV.")
flags.DEFINE_string("workdir", None, "Folder of the run; an interrupted run in it goes on.")
flags.DEFINE_string("out", None, "What to write: FILE.npz, PICTURE.png or DIR.")
flags.DEFINE_string(
    "second_workdir",
    None,
    "Run of a Slow or SlowFast network that makes --workdir's VIE-Single a two-stream model; "
    "finetune: --start_from's.",
)
flags.DEFINE_string(
    "frames_of",
    None,
    "Family whose frames --workdir's VIE-Single sees, each by itself (the paper's Input-Single).",
)
flags.DEFINE_string(
    "checkpoint", None, "import_checkpoint: prefix or folder of a checkpoint of the authors' code."
)
flags.DEFINE_string(
    "start_from",
    None,
    "pretrain, finetune: folder of a run whose network's weights training starts from. Default: "
    "from scratch.",
)
flags.DEFINE_list("workdirs", None, "report: folders of runs, or of folders of them.")
flags.DEFINE_string("query", None, "retrieve: a video file, or an id of --data; default all.")
flags.DEFINE_string("label_column", "label", "The CSV's column that is the label.")
flags.DEFINE_string("split_column", "split", "The CSV's column that is the split.")
flags.DEFINE_enum("decoder", "auto", ("auto", "tfio", "pyav"), "Back end that decodes raw videos.")

flags.DEFINE_string("family", "single", "Network family.")
flags.DEFINE_integer("depth", 18, "Depth of the ResNet: 18, 34 or 50.", lower_bound=18)
flags.DEFINE_enum(
    "loss",
    "ir",
    (*WITH_BANK, "supervised", "order", "rotation"),
    "Objective: Instance Recognition, Local Aggregation, VIE (IR for --ir_steps, then LA), the "
    "supervised twin, which learns the labels, or to tell the order of frames (OPN) or how a clip "
    "is turned (3DRotNet).",
)
flags.DEFINE_integer("image_size", None, "Side of the clips, pixels. Default: the family's.", 1)
flags.DEFINE_integer("batch_size", 64, "Clips a step; finetune: 128, at most the videos.", 1)
flags.DEFINE_integer("steps", 10_000, "Steps in all; 0 is the untrained network.", lower_bound=0)
flags.DEFINE_integer("seed", 0, "Of every random draw.", lower_bound=0, upper_bound=2**31 - 1)
flags.DEFINE_float(
    "learning_rate",
    None,
    "Default: by the number of videos; finetune: 0.01 from scratch, else 0.0005.",
    lower_bound=0,
)
flags.DEFINE_integer("warmup_steps", 0, "Linear ramp of the learning rate.", lower_bound=0)
flags.DEFINE_list(
    "lr_boundaries",
    [],
    "Steps after which the learning rate is divided by 10; --loss=vie counts them from LA's start.",
)
flags.DEFINE_list(
    "ir_lr_boundaries",
    None,
    "vie: as --lr_boundaries, in IR, counted from its start; LA begins with the whole rate again.",
)
flags.DEFINE_integer(
    "lr_plateau",
    0,
    "Divides the learning rate by 10, twice at most, after so many evaluations without a better "
    "k-NN accuracy (recall at 1 without labels; supervised: top-1); 0 does not. --loss=vie: in LA.",
    lower_bound=0,
)
flags.DEFINE_float(
    "weight_decay",
    1e-4,
    "L2 penalty on all but batch normalisation; finetune with --start_from: 1e-5.",
    lower_bound=0,
)
# Below 0.02 exp(1 / tau) nears the end of float32.
flags.DEFINE_float("temperature", None, "tau of eq. 2. Default: by the number of videos.", 0.02)
flags.DEFINE_float("bank_momentum", None, "Of eq. 1. Default: by the number of videos.", 0, 1)
flags.DEFINE_float("bn_momentum", None, "Of the moving statistics. Default: by videos.", 0, 1)
flags.DEFINE_integer(
    "noise_samples",
    None,
    "K of the NCE estimate, 0: exact softmax. Default: by the number of videos.",
    lower_bound=0,
)
flags.DEFINE_integer(
    "ir_steps", None, "vie: steps of IR before LA. Default: by videos and batch.", lower_bound=1
)
flags.DEFINE_integer(
    "neighbours", None, "LA: K, background neighbours. Default: by the number of videos.", 1
)
flags.DEFINE_list(
    "clusters",
    None,
    "LA: number of clusters, or one for each of several clusterings. Default: by the number of "
    "videos.",
)
flags.DEFINE_integer(
    "cluster_every", None, "LA: steps from clustering to clustering. Default: an epoch.", 1
)
flags.DEFINE_integer(
    "cluster_lag",
    None,
    "LA: a clustering takes effect so many steps after the bank that it is of, and is computed "
    "beside them. Default: 0, training waits for it.",
    lower_bound=0,
)
flags.DEFINE_enum(
    "bank_precision",
    None,
    ("float32", "bfloat16"),
    "Of the memory bank's rows. Default: float32.",
)
flags.DEFINE_bool(
    "shard_bank",
    False,
    "Keeps on each GPU a share of the bank in place of a copy, for banks beyond one GPU's memory.",
)
flags.DEFINE_enum(
    "augmentation",
    "colour_noise",
    AUGMENTATIONS,
    "How training clips are cropped and coloured, and test clips cropped beside them.",
)
flags.DEFINE_list(
    "colour_noise",
    None,
    "Strength of brightness, contrast, saturation, hue; probability of grey. Default: the "
    "augmentation's, of colour_noise 0.4,0.4,0.4,0.4,0.3.",
)
flags.DEFINE_bool("flip", True, "Mirrors half of the clips: off where left and right differ.")
flags.DEFINE_integer(
    "frame_interval",
    None,
    "From one frame of a clip to the next. Default: the family's; less for short videos.",
    lower_bound=1,
)
flags.DEFINE_enum(
    "precision",
    "auto",
    ("auto", "float32", "bfloat16"),
    "Of the convolutions; auto takes bfloat16 where the processor has it.",
)
flags.DEFINE_bool(
    "deterministic",
    None,
    "A run goes on, and can be repeated, to the last bit. Default: without a GPU and --xla, where "
    "it costs nothing.",
)
flags.DEFINE_bool(
    "xla",
    None,
    "Compiles the network and its gradient by TensorFlow's XLA. Default: on GPUs without "
    "--deterministic.",
)
flags.DEFINE_bool(
    "legacy",
    False,
    "The authors' faults: bank rows start un-normalised, label 0 and in use; clips leave out the "
    "last frame or run over it; --subset draws with replacement, whatever the seed; finetune puts "
    "weight decay on the head only.",
)
flags.DEFINE_float(
    "held_out",
    0.1,
    "Share of the videos kept from training to watch it, when there is no test split.",
    lower_bound=0,
    upper_bound=0.9,
)
flags.DEFINE_float(
    "subset",
    1.0,
    "Share of the videos to train on that is used (paper: 0.7 and 0.3), drawn by the seed.",
    lower_bound=0,
    upper_bound=1,
)
flags.DEFINE_integer(
    "bin_frames",
    0,
    "Cuts each video's starts of clips into bins of so many frames, each with a row of the bank of "
    "its own (paper: 5bin is 52, 2bin 130); 0 does not.",
    lower_bound=0,
)

flags.DEFINE_string(
    "data_service", None, "Address of a tf.data service that makes the batches: grpc://HOST:PORT."
)
flags.DEFINE_integer(
    "max_unreadable",
    100,
    "Videos that may be left out since they cannot be read; with more, training stops.",
    lower_bound=0,
)

flags.DEFINE_integer(
    "clips",
    5,
    "Clips a video in evaluation, evenly spaced; 0: all that follow each other.",
    lower_bound=0,
)
flags.DEFINE_bool(
    "ten_crop",
    False,
    "Evaluates each clip by ten crops: centre, corners, and their mirror images.",
)
flags.DEFINE_list(
    "taps",
    ["conv3", "conv4", "conv5"],
    "readout: layers to classify from: conv1 to conv5, encode_1 and so on, or embedding; with -avg "
    "behind it the mean over space.",
)
flags.DEFINE_bool(
    "cached",
    False,
    "readout: logistic regression on features that are computed once, without augmentation.",
)
flags.DEFINE_integer("k", 10, "Neighbours of the k-NN classifier.", lower_bound=1)
flags.DEFINE_float("knn_temperature", None, "knn: of its votes. Default: the paper's 0.07.", 0.02)
flags.DEFINE_bool("bank", False, "knn: searches the memory bank in place of embeddings made now.")
flags.DEFINE_string("embeddings", None, "knn: FILE.npz of --mode=embed in place of --data.")
flags.DEFINE_integer("log_every", 10, "Steps between log entries.", lower_bound=1)
flags.DEFINE_integer("evaluate_every", None, "Of evaluations, steps. Default: ten in the run.", 1)
flags.DEFINE_integer("save_every", None, "Of checkpoints, steps. Default: twenty in the run.", 1)
flags.DEFINE_integer("keep", 3, "Checkpoints to keep.", lower_bound=1)

# The flags that make a run; they are kept with it, and repeat it.
RUN = (
    "label_column split_column family depth loss image_size batch_size steps seed learning_rate "
    "warmup_steps lr_boundaries lr_plateau weight_decay temperature bank_momentum bank_precision "
    "shard_bank bn_momentum ir_lr_boundaries "
    "noise_samples ir_steps neighbours clusters cluster_every cluster_lag augmentation "
    "colour_noise flip frame_interval precision legacy held_out subset bin_frames clips ten_crop k "
    "data decoder log_every evaluate_every save_every keep mode data_service max_unreadable "
    "start_from second_workdir deterministic xla"
).split()

# The flags that say how something learns: with --mode=readout the read-outs, not the run's network.
LEARNING = (
    "batch_size seed learning_rate warmup_steps lr_boundaries lr_plateau weight_decay augmentation "
    "colour_noise flip held_out"
).split()
