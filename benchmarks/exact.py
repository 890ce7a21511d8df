"""Against closed forms: where the true log-likelihood is known, how far is the VAE from it?

    python benchmarks/exact.py

Prints, in nats per row of held-out data:

1. linear-Gaussian data, no hidden layer, 400 epochs and at the defaults: against FactorAnalysis,
   and `score` against the exact marginal of the fitted decoder, N(b, W W' + diag(sigma^2));
2. independent Bernoulli columns: against the product of maximum-likelihood columns, and the KL;
3. a mixture of four Bernoulli products: against the truth;
4. a 2-D latent: `score_samples` against quadrature of the fitted decoder on a 401 x 401 grid;
5. rows with gaps, no hidden layer: `score_samples`, `impute` and draws of `sample(given=...)`
   against the marginal and the conditional normal of the fitted decoder;
6. `prior="mixture"` and a rare class, 10 of 5,000 rows, far from the others: the means of draws of
   `sample(given=...)` against quadrature of the fitted decoder on grids of 801 x 801, in standard
   deviations of the cell given the others. Half of the cells of the 10 rows are missing.
"""

import copy

import numpy as np
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, spearmanr
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.decomposition import FactorAnalysis
from sklearn.model_selection import train_test_split

from skvae import VAETransformer
from skvae._inference.scores import log_joint

LONG = {
    "early_stopping": False,
    "max_iter": 400,
    "learning_rate": "cosine",
    "learning_rate_init": 1e-2,
}


def main():
    print("1. linear-Gaussian: n rows to fit, 2000 to score")
    print(
        f"{'n':>5}{'d':>4}{'q':>3}{'seed':>5}{'VAE':>10}{'FA':>10}{'gap':>8}{'score - exact':>15}"
    )
    for n, d, q, settings, how in [
        (2000, 5, 1, LONG, "400 epochs"),
        (2000, 10, 3, LONG, "400 epochs"),
        (2000, 20, 5, LONG, "400 epochs"),
        (3000, 30, 5, {}, "defaults"),
    ]:
        for seed in range(3):
            vae, factors, exact = linear_gaussian(n, d, q, seed, settings)
            print(f"{n:5}{d:4}{q:3}{seed:5}{vae:10.3f}{factors:10.3f}", end="")
            print(f"{factors - vae:8.3f}{vae - exact:15.4f}  {how}", flush=True)
    print("\n2. independent Bernoulli columns, d = 20")
    for seed in range(3):
        loss, optimum, kl = independent_bernoulli(seed)
        print(f"seed {seed}: -ELBO {loss:.3f}, optimum {optimum:.3f}, KL {kl:.3f}")
    print("\n3. mixture of four Bernoulli products, d = 20")
    found = []
    for seed in range(8):
        vae, truth, correlation = bernoulli_mixture(seed)
        print(f"seed {seed}: log p {vae:.3f}, truth {truth:.3f}, correlation {correlation:.3f}")
        found.append((truth - vae, correlation))
    print("mean gap {:.3f}, correlation {:.3f}".format(*np.mean(found, axis=0)))
    print("\n4. score_samples against quadrature, 2-D latent, 1000 draws")
    for name, mean, low, high, rank in calibration():
        print(
            f"{name}: error {mean:.4f} ({low:.4f} to {high:.4f}), Spearman {rank:.5f}", flush=True
        )
    print("\n5. rows with gaps of a linear-Gaussian model, d = 10, q = 3, against closed forms")
    print(f"{'missing':>8}{'log p':>9}{'impute (sd)':>13}{'mean (sd)':>11}{'covariance':>12}")
    for share in (0.2, 0.5, 0.8):
        for what, how in [
            ("", {}),
            ("gaps in training too", {"gaps_in_training": True}),
            ("near copies of columns", {"noise": (0.01, 0.05)}),
        ]:
            errors = conditionals(share, **how)
            print(f"{share:8.0%}" + "{:9.4f}{:13.4f}{:11.4f}{:12.4f}  ".format(*errors) + what)
    print("\n6. a rare class, 2-D latent: means of 1000 draws against quadrature")
    print(f"{'far':>4}{'seed':>5}{'rms (sd)':>10}{'largest (sd)':>14}")
    for distance in (8.0, 20.0):
        for seed in range(6):
            errors = rare_class(distance, seed)
            rms = np.sqrt(np.square(errors).mean())
            print(f"{distance:4.0f}{seed:5}{rms:10.3f}{errors.max():14.3f}", flush=True)


def linear_gaussian(n, d, q, seed, settings):
    """Held-out mean log p: the VAE's score, FactorAnalysis, the fitted decoder in closed form."""
    rng = np.random.default_rng(seed)
    loadings, noise = rng.normal(size=(q, d)), rng.uniform(0.3, 1.5, size=d)
    X = rng.normal(size=(n + 2000, q)) @ loadings + noise * rng.normal(size=(n + 2000, d)) + 3.0
    train, test = X[:n], X[n:]
    vae = VAETransformer(q, hidden_layer_sizes=(), random_state=seed, **settings).fit(train)
    factors = FactorAnalysis(q, svd_method="lapack").fit(train)
    return vae.score(test), factors.score(test), exact_marginal(vae, test)


def exact_marginal(vae, X):
    """Mean log p(x) of a VAE whose decoder is linear."""
    return multivariate_normal(*decoded_normal(vae)).logpdf(X).mean()


def decoded_normal(vae):
    """Mean b and covariance W W' + diag(sigma^2) of the rows of a VAE whose decoder is linear."""
    q = vae.n_components_
    b = vae.inverse_transform(np.zeros((1, q)))[0]
    W = (vae.inverse_transform(np.diag(vae.scale_)) - b).T
    group = vae.module_.observations[0]
    sigma = group.likelihood.sigma(group.tensors).detach().numpy()
    scale = sigma * vae._fitted.columns.groups[0].constants["spread"]
    return b, W @ W.T + np.diag(scale**2)


def conditionals(share, gaps_in_training=False, noise=(0.3, 1.5), n_rows=40, n_draws=4000):
    """Mean errors over rows with gaps: what the model says against its own closed forms.

    Of log p in nats; of imputed cells and of the mean of draws in standard deviations of the cell
    given the others; of the draws' covariance as a share of the closed form's norm.
    """
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000 + n_rows, 3)) @ rng.normal(size=(3, 10))
    X += rng.uniform(*noise, size=10) * rng.normal(size=X.shape)
    hidden = rng.random(X.shape) < share
    hidden[np.arange(len(X)), rng.integers(10, size=len(X))] = False
    gaps = np.where(hidden, np.nan, X)
    train = gaps[n_rows:] if gaps_in_training else X[n_rows:]
    vae = VAETransformer(3, hidden_layer_sizes=(), random_state=0).fit(train)
    mean, covariance = decoded_normal(vae)
    rows = gaps[:n_rows]
    score, filled = vae.score_samples(rows), vae.impute(rows)
    draws = vae.sample(n_draws, given=rows, random_state=0).reshape(n_rows, n_draws, 10)
    errors = []
    for row, log_p, one, drawn in zip(rows, score, filled, draws, strict=True):
        there, gone = np.flatnonzero(~np.isnan(row)), np.flatnonzero(np.isnan(row))
        seen = multivariate_normal(mean[there], covariance[np.ix_(there, there)])
        if len(gone) == 0:
            continue
        slope = np.linalg.solve(seen.cov, covariance[np.ix_(there, gone)]).T
        expected = mean[gone] + slope @ (row[there] - mean[there])
        rest = covariance[np.ix_(gone, gone)] - slope @ covariance[np.ix_(there, gone)]
        sd, drawn = np.sqrt(np.diag(rest)), drawn[:, gone]
        found = np.cov(drawn.T, ddof=0).reshape(rest.shape)
        errors.append(
            [
                abs(log_p - seen.logpdf(row[there])),
                np.abs((one[gone] - expected) / sd).mean(),
                np.abs((drawn.mean(axis=0) - expected) / sd).mean(),
                np.linalg.norm(found - rest) / np.linalg.norm(rest),
            ]
        )
    return np.mean(errors, axis=0)


def independent_bernoulli(seed):
    """Held-out -ELBO, the product model's negative log-likelihood, and the mean KL."""
    rng = np.random.default_rng(seed)
    X = (rng.random((4000, 20)) < rng.uniform(0.1, 0.9, size=20)).astype(float)
    train, test = X[:2000], X[2000:]
    vae = VAETransformer(2, dropout=0.1, whiten=True, random_state=seed).fit(train)
    mean, std = vae.latent_distribution(test)
    kl = 0.5 * (mean**2 + std**2 - 1 - 2 * np.log(std)).sum(axis=1).mean()
    p = train.mean(axis=0)
    optimum = -(test * np.log(p) + (1 - test) * np.log1p(-p)).sum(axis=1).mean()
    return -vae.elbo(test).mean(), optimum, kl


def bernoulli_mixture(seed):
    """Held-out mean log p of the VAE and of the truth, and the correlation of the two by rows."""
    rng = np.random.default_rng(seed)
    share, p = rng.dirichlet(np.full(4, 5.0)), rng.uniform(0.05, 0.95, size=(4, 20))
    X = (rng.random((4000, 20)) < p[rng.choice(4, size=4000, p=share)]).astype(float)
    train, test = X[:2000], X[2000:]
    vae = VAETransformer(2, dropout=0.1, random_state=seed).fit(train)
    by_part = test @ np.log(p).T + (1 - test) @ np.log1p(-p).T + np.log(share)
    truth, score = logsumexp(by_part, axis=1), vae.score_samples(test)
    return score.mean(), truth.mean(), np.corrcoef(truth, score)[0, 1]


def calibration():
    """Mean, least and largest error of `score_samples`, and its rank correlation."""
    digits, cancer = load_digits().data / 16, load_breast_cancer().data
    for name, X, settings in [
        ("wine, Gaussian", load_wine().data, {}),
        ("digits, Bernoulli", (digits > 0.5).astype(float), {"likelihood": "bernoulli"}),
        ("digits, continuous Bernoulli", digits, {"likelihood": "continuous_bernoulli"}),
        ("breast cancer, Gaussian", cancer, {}),
    ]:
        train, test = train_test_split(X, test_size=60, random_state=0)
        vae = VAETransformer(2, random_state=0, **settings).fit(train)
        score, truth = vae.score_samples(test, n_importance=1000), quadrature(vae, test)
        error = score - truth
        yield name, error.mean(), error.min(), error.max(), spearmanr(truth, score).statistic


def quadrature(vae, X, half_width=7.0, n=401):
    """log p(x) by the trapezium rule over a 2-D latent, in the units of X. (n,)."""
    axis = np.linspace(-half_width, half_width, n)
    z = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    log_area = 2 * np.log(axis[1] - axis[0])
    log_prior = -0.5 * (z**2).sum(axis=1) - np.log(2 * np.pi)
    model = copy.deepcopy(vae.module_).double()
    x = model.cells(torch.from_numpy(vae._fitted.columns.to_working(X, None, np.float64)))
    with torch.no_grad():
        parts = [
            model.log_prob(x, model.decode(torch.from_numpy(codes)[:, None, :])).numpy()
            for codes in np.array_split(z, 100)
        ]
    log_joint = np.concatenate(parts) + log_prior[:, None] + log_area
    return logsumexp(log_joint, axis=0) + vae._fitted.columns.log_jacobian(X, None)


def rare_class(distance, seed, n=5000, n_rare=10, d=8):
    """The errors of the means of draws, in standard deviations, for the missing cells."""
    rng = np.random.default_rng(seed)
    centers = 2 * rng.normal(size=(3, d))
    far = centers.mean(axis=0) + rng.choice([-distance, distance], d)
    center = np.vstack([np.tile(far, (n_rare, 1)), centers[rng.integers(3, size=n - n_rare)]])
    X = center + 0.4 * rng.normal(size=(n, d))
    for kind in (X[:n_rare], X[n_rare:]):
        kind += rng.normal(size=(len(kind), 2)) @ rng.normal(size=(2, d))
    vae = VAETransformer(2, prior="mixture", random_state=seed).fit(X)
    hidden = rng.random((n_rare, d)) < 0.5
    hidden[np.arange(n_rare), rng.integers(d, size=n_rare)] = False
    rows = np.where(hidden, np.nan, X[:n_rare])
    draws = vae.sample(1000, given=rows, random_state=seed).reshape(n_rare, 1000, d)
    model = copy.deepcopy(vae.module_).double()
    cells = model.cells(torch.from_numpy(vae._fitted.columns.to_working(rows, None, np.float64)))
    log_p = log_joint(model, cells)
    errors = []
    for i in range(n_rare):
        own = draws_by_quadrature(vae, model, lambda z, i=i: log_p(z[:, None], torch.tensor([i])))
        errors.append(np.abs(draws[i].mean(axis=0) - own.mean(axis=0)) / own.std(axis=0))
    return np.array(errors)[hidden]


@torch.no_grad()
def draws_by_quadrature(vae, model, log_p, n_draws=4000, n=801):
    """Draws of all cells by codes on a grid, which is twice brought closer to its highest codes."""
    low, high = np.full(2, -15.0), np.full(2, 15.0)
    for _ in range(3):
        axes = np.linspace(low, high, n).T
        z = torch.cartesian_prod(*torch.from_numpy(axes))
        found = torch.cat([log_p(part)[:, 0] for part in z.split(2**16)])
        highest, step = z[found > found.max() - 20].numpy(), (high - low) / (n - 1)
        low, high = highest.min(axis=0) - step, highest.max(axis=0) + step
    generator = torch.Generator().manual_seed(0)
    chosen = torch.multinomial(found.softmax(0), n_draws, replacement=True, generator=generator)
    drawn = model.sample(z[chosen][:, None], generator, None)[:, 0]
    return vae._fitted.columns.from_working(drawn.numpy())


if __name__ == "__main__":
    main()
