"""Evaluation maps images by the road of a run: what it scores is what a run writes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import worlds
from affine import Affine
from odc.geo import CRS

import geoseg
from geoseg.errors import ModelMismatchError, RequestError
from geoseg.evaluation.baselines import ForestMapper, MajorityMapper, features, sample_pixels
from geoseg.evaluation.confusion import NO_ANSWER, NOTHING
from geoseg.evaluation.legend import Legend
from geoseg.evaluation.maps import ModelMapper, Reading
from geoseg.evaluation.scoring import Evaluation, Measures, evaluate
from geoseg.labels import IGNORE
from geoseg.settings import Settings

CLASSES = tuple(f"class {at}" for at in range(4))


def joined(mapper, member):
    """A whole map and its scores, with how often each pixel was given."""
    classes, times = np.zeros(member.shape, np.uint8), np.zeros(member.shape, int)
    scores = np.zeros((4, *member.shape), np.float32)
    for part in mapper.maps(member):
        at = slice(part.window.row0, part.window.row1), slice(part.window.col0, part.window.col1)
        classes[at], scores[(slice(None), *at)] = part.classes, part.scores
        times[at] += 1
    assert (times == 1).all()
    return classes, scores


def mapper_of(folder, **settings):
    return ModelMapper(folder, Legend.same(CLASSES), Reading(1.0, 0.0), Settings(**settings))


@pytest.mark.parametrize("make", [worlds.finite_model, worlds.global_model], ids=["finite", "global"])
def test_a_map_is_that_of_a_run_for_any_size_of_tiles(tmp_path, painted, make):
    folder, labels = make(tmp_path / "model"), painted(1, (70, 90))
    (member,) = labels.members
    scene = worlds.write_raster(tmp_path / "scene.tif", member.pixels, names=worlds.BANDS)
    place = Affine(10.0, 0, 500_003.0, 0, -10.0, 5_000_007.0)
    filed = replace(member, path=scene, crs=CRS("EPSG:32633"), transform=place)
    run = geoseg.run(scenes=(str(scene),), model=str(folder.path), out=tmp_path / "map")
    expected, sure = (worlds.read(run.out / name) for name in ("classes.tif", "confidence.tif"))
    for tile_size in (64, 512):
        with mapper_of(folder, tile_size=tile_size) as mapper:
            classes, scores = joined(mapper, filed)
        assert (classes == expected).all()
        assert (np.rint(scores.max(axis=0) * 100) == sure).all()
        assert (scores.argmax(axis=0) == classes).all()


def test_an_image_without_a_file_is_mapped_in_rows_and_columns_and_its_gaps_are_not_asked(tmp_path, painted):
    folder, labels = worlds.finite_model(tmp_path / "model"), painted(1)
    gaps = np.zeros((70, 90), bool)
    gaps[30:50, 40:60] = True
    member = replace(labels.members[0], gaps=gaps)
    with mapper_of(folder) as mapper:
        classes, scores = joined(mapper, member)
        found = evaluate(mapper, replace(labels, members=(member,)))
    assert ((classes == NOTHING) == gaps).all()
    assert (np.isnan(scores).all(axis=0) == gaps).all()
    (score,) = found.members
    assert score.unobserved == int(gaps.sum())
    assert score.confusion.pixels == int(((member.truth != IGNORE) & ~gaps).sum())


@pytest.mark.parametrize("slope", [-10, 10])
def test_a_turned_image_is_mapped_as_it_lies(tmp_path, painted, slope):
    folder, labels = worlds.finite_model(tmp_path / "model"), painted(1)
    (member,) = labels.members
    path = worlds.write_raster(tmp_path / "s.tif", member.pixels, names=worlds.BANDS)
    turned = Affine.translation(5e5, 5e6) @ Affine.rotation(20) @ Affine.scale(10, slope)
    import rasterio

    with rasterio.open(path, "r+") as file:
        file.transform = turned
    filed = replace(member, path=path, crs=CRS("EPSG:32633"), transform=turned)
    run = geoseg.run(scenes=(str(path),), model=str(folder.path), out=tmp_path / "map")
    with mapper_of(folder) as mapper:
        assert (joined(mapper, filed)[0] == worlds.read(run.out / "classes.tif")).all()


def test_scores_say_what_a_hand_made_count_says(tmp_path, painted):
    folder, labels = worlds.finite_model(tmp_path / "model"), painted(3)
    with mapper_of(folder, tile_size=32) as mapper:
        found = evaluate(mapper, labels)
        maps = [joined(mapper, member) for member in labels.members]
    truth = np.concatenate([member.truth.ravel() for member in labels.members])
    made = np.concatenate([classes.ravel() for classes, _ in maps])
    known = truth != IGNORE
    assert found.confusion.accuracy == pytest.approx((truth == made)[known].mean())
    sure = np.concatenate([scores.max(axis=0).ravel() for _, scores in maps])[known]
    assert found.reliability.pixels == known.sum()
    assert found.reliability.counts[:, 2].sum() == pytest.approx(sure.sum(), rel=1e-6)
    assert list(found.by_group) == ["g0", "g1", "g2"]
    for sample, member, (_, scores) in zip(found.samples, labels.members, maps, strict=True):
        assert len(sample.truth) == min(2000, int((member.truth != IGNORE).sum()))
        rows = {tuple(row) for row in scores.reshape(4, -1).T.tolist()}
        assert all(tuple(row) in rows for row in sample.scores.tolist())


def test_samples_do_not_depend_on_how_a_map_is_cut(tmp_path, painted):
    folder, labels = worlds.finite_model(tmp_path / "model"), painted(1, (100, 150))
    samples = []
    for tile_size in (32, 512):
        with mapper_of(folder, tile_size=tile_size) as mapper:
            samples.append(evaluate(mapper, labels).samples[0])
    assert (samples[0].truth == samples[1].truth).all()
    np.testing.assert_allclose(samples[0].scores, samples[1].scores, atol=1e-5)


def test_folds_make_one_evaluation(tmp_path, painted):
    folder, labels = worlds.finite_model(tmp_path / "model"), painted(4)
    with mapper_of(folder) as mapper:
        whole = evaluate(mapper, labels)
        parts = [evaluate(mapper, labels.of(groups)) for groups in labels.folds(2)]
    merged = Evaluation.merged(parts)
    assert (merged.confusion.counts == whole.confusion.counts).all()
    assert (merged.boundary.counts == whole.boundary.counts).all()
    assert (merged.objects.counts == whole.objects.counts).all()
    assert merged.reliability.ece == pytest.approx(whole.reliability.ece)
    with pytest.raises(ValueError, match="two parts"):
        Evaluation.merged([parts[0], parts[0]])
    with pytest.raises(ValueError, match="differ"):
        Evaluation.merged([parts[0], replace(parts[1], measures=Measures(boundary_px=5))])


def test_a_crosswalk_reads_classes_in_the_terms_of_the_labels(tmp_path, painted):
    network = ("Water", "trees", "crops", "snow")
    legend = Legend.between(network, ("green", "water"), {"trees": "Green", "crops": "green", "snow": ""})
    assert legend.index == (1, 0, 0, NO_ANSWER)
    assert legend.read(np.array([0, 1, 2, 3, 254, 255], np.uint8)).tolist() == [1, 0, 0, NO_ANSWER, NO_ANSWER, NOTHING]
    scores = np.array([0.1, 0.2, 0.3, 0.4], np.float32)[:, None]
    np.testing.assert_allclose(legend.scores(scores)[:, 0], [0.5, 0.1])
    np.testing.assert_allclose(scores[:, 0] @ legend.matrix, [0.5, 0.1], rtol=1e-6)
    assert Legend.between(network, ("rest", "water"), {"snow": "", "*": "rest"}).index == (1, 0, 0, NO_ANSWER)
    with pytest.raises(RequestError, match="tree"):
        Legend.between(network, ("green", "water"), {"tree": "green"})
    with pytest.raises(ModelMismatchError, match="crosswalk"):
        Legend.between(network, ("roof", "road"), {})


def test_the_majority_is_that_of_the_training_images(painted):
    labels = painted(2)
    mapper = MajorityMapper.fit(labels)
    truth = np.concatenate([member.truth.ravel() for member in labels.members])
    shares = np.bincount(truth[truth != IGNORE], minlength=4) / (truth != IGNORE).sum()
    classes, scores = joined(mapper, labels.members[0])
    assert (classes == shares.argmax()).all()
    np.testing.assert_allclose(scores[:, 3, 4], shares, rtol=1e-6)
    found = evaluate(mapper, labels)
    assert found.confusion.accuracy == pytest.approx(shares.max())
    assert found.reliability.ece == pytest.approx(0, abs=1e-6)


def test_features_are_bands_and_their_normalised_differences():
    image = np.array([[2.0, 0.0], [6.0, 0.0], [2.0, 5.0]])
    made = features(image)
    np.testing.assert_allclose(made[:3], image)
    np.testing.assert_allclose(made[3:], [[-0.5, 0], [0, -1], [0.5, -1]])
    assert features(np.ones((10, 4))).shape == (10 + 28, 4)


def test_pixels_of_a_forest_are_as_they_come_or_even_over_classes_and_the_same_for_the_same_seed(painted):
    labels = painted(2, (200, 200))
    pixels, truth = sample_pixels(labels, 1, 4000, balanced=True)
    counts = np.bincount(truth, minlength=4)
    assert (abs(counts - 1000) < 150).all()
    shares = np.bincount(sample_pixels(labels, 1, 4000)[1], minlength=4)
    everyone = sum(np.bincount(member.truth.ravel(), minlength=256)[:4] for member in labels.members)
    np.testing.assert_allclose(shares / shares.sum(), everyone / everyone.sum(), atol=0.03)
    again = sample_pixels(labels, 1, 4000, balanced=True)
    assert (again[0] == pixels).all()
    other = sample_pixels(labels, 2, 4000, balanced=True)
    assert other[0].shape != pixels.shape or (other[0] != pixels).any()
    everything, _ = sample_pixels(labels, 1, 10**6)
    assert len(everything) == sum(int((member.truth != IGNORE).sum()) for member in labels.members)


def test_a_forest_learns_what_one_pixel_says_and_repeats_itself(painted):
    labels = painted(3)
    train, held = labels.hold_out(["g2"])
    one, other = (ForestMapper.fit(train, seed=5, most=3000) for _ in range(2))
    first, second = (joined(forest, held.members[0]) for forest in (one, other))
    assert (first[0] == second[0]).all()
    np.testing.assert_allclose(first[1].sum(axis=0), 1, atol=1e-5)
    # The truth is a function of one band.
    assert evaluate(one, held).confusion.accuracy > 0.97


def test_a_class_that_no_training_pixel_has_is_never_said(painted):
    labels = painted(2, classes=3)
    more = replace(labels, classes=(*labels.classes, replace(labels.classes[0], name="class 3")))
    classes, scores = joined(ForestMapper.fit(more, most=500), more.members[0])
    assert classes.max() == 2
    assert (scores[3] == 0).all()
