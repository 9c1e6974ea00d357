"""Spiking populations and their neural masses: networks of Izhikevich neurons, what theory says of them, and what it leaves out."""

from mfm.populations.closure import Closure
from mfm.populations.measures import Estimate, PopulationMeasures, dominant_frequency, measure
from mfm.populations.network import INTERNEURON, TIME_UNIT_S, Network, NeuronType
from mfm.populations.neural_mass import MassSeries, NeuralMass
from mfm.populations.simulate import Activity, MacroState, simulate_network
from mfm.populations.training import ClosureFit, Observation, fit_closure, sparsify

__all__ = [
    "INTERNEURON",
    "TIME_UNIT_S",
    "Activity",
    "Closure",
    "ClosureFit",
    "Estimate",
    "MacroState",
    "MassSeries",
    "Network",
    "NeuralMass",
    "NeuronType",
    "Observation",
    "PopulationMeasures",
    "dominant_frequency",
    "fit_closure",
    "measure",
    "simulate_network",
    "sparsify",
]
