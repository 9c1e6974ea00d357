"""Spiking populations are networks of Izhikevich neurons; here are their neural mass, and what that leaves out, learned."""

from mfm.populations.closure import ALL_TERMS, FORMULA_TERMS, Closure
from mfm.populations.measures import Estimate, PopulationMeasures, dominant_frequency, measure
from mfm.populations.network import INTERNEURON, SCALINGS, TIME_UNIT_S, Network, NeuronType
from mfm.populations.neural_mass import MassSeries, NeuralMass
from mfm.populations.simulate import Activity, MacroState, simulate_network
from mfm.populations.training import ClosureFit, ObservedNetwork, extract_closure, fit_closure

__all__ = [
    "ALL_TERMS",
    "FORMULA_TERMS",
    "INTERNEURON",
    "SCALINGS",
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
    "ObservedNetwork",
    "PopulationMeasures",
    "dominant_frequency",
    "extract_closure",
    "fit_closure",
    "measure",
    "simulate_network",
]
