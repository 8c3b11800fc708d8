"""From a picture to the concepts of a store that it shows, with probabilities."""

from vkood.pipelines.concept_tagger.tagger import ConceptTagger, PictureClassifier
from vkood.pipelines.concept_tagger.vocabulary import ClassConcepts, Cut, PictureConcepts

__all__ = ["ClassConcepts", "ConceptTagger", "Cut", "PictureClassifier", "PictureConcepts"]
